"""Mutated copies of real traces, and what the command says to each.

    python -m fuzzing 20000        (in Tests/Interop; or `make fuzz`)
"""
