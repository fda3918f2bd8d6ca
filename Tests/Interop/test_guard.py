"""Reading a file that crashes libhdf5 is an answer; everything else about a command is as if nobody stood before it."""

import contextlib
import json
import os
import resource
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pexpect
import pytest

from faults import build
from fuzzing.mutation import Original
from fuzzing.structure import messages
from support import ATTNTRACE, answer, attntrace, heed_signals

COMMANDS = ["info", "sinks", "trajectories", "compare"]
# A message of an object header, and a class of it.
LAYOUT, CHUNKED = 8, 2


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return build("hdf5_faults", tmp_path_factory.mktemp("faults"))


@pytest.fixture
def fault(library):
    """The environment in which opening a dataset goes wrong."""
    def environment(name, **more):
        return {"LD_PRELOAD": str(library), "HDF5_FAULT": name, **more}

    return environment


def start(path, environment, **options):
    return subprocess.Popen(
        [ATTNTRACE, "info", str(path)], env={**os.environ, **environment}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, preexec_fn=heed_signals, **options)


def children(pid):
    with contextlib.suppress(FileNotFoundError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def child_of(run):
    """The process that reads, once it is there."""
    while not (found := children(run.pid)):
        assert run.poll() is None
        time.sleep(0.002)
    return found[0]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def check_refusal(done, path, *words):
    assert done.returncode == 1 and done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith(f"attntrace: {path}: ")
    for word in words:
        assert word in line


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name, number", [("crash", signal.SIGSEGV), ("abort", signal.SIGABRT)])
def test_a_crash_is_an_answer(diffusion, fault, command, name, number):
    check_refusal(
        attntrace(command, diffusion, env=fault(name)), diffusion, "read.crash: libhdf5 crashed on it",
        f"(signal {int(number)})")


def crashing(path, folder):
    """Chunks of length 0, with every checksum right: libhdf5 1.10.8 divides by it."""
    data = bytearray(path.read_bytes())
    original = Original(bytes(data))
    edited = 0
    for header in original.headers:
        for place, prefix, size in messages(data, header):
            body = place + prefix
            if data[place] == LAYOUT and data[body] == 4 and data[body + 1] == CHUNKED:
                width = data[body + 4]
                data[body + 5 : body + 5 + width] = bytes(width)
                header.seal(data)
                edited += 1
    assert edited > 10
    (folder / "crashing.h5").write_bytes(data)
    return folder / "crashing.h5"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_that_does_crash(diffusion, tmp_path, command):
    path = crashing(diffusion, tmp_path)
    check_refusal(attntrace(command, path), path, "read.crash: libhdf5 crashed on it", f"(signal {int(signal.SIGFPE)})")


def test_of_several_traces_all_are_named(diffusion, causal, fault):
    check_refusal(
        attntrace("compare", diffusion, causal, env=fault("crash")), f"{diffusion} or {causal}", "read.crash")


def test_a_call_that_does_not_return(diffusion, fault):
    began = time.monotonic()
    done = attntrace("info", diffusion, env=fault("hang", ATTNTRACE_READ_TIMEOUT="0.5"))
    check_refusal(done, diffusion, "read.hang: ", "took more than 0.5 s", "ATTNTRACE_READ_TIMEOUT")
    assert time.monotonic() - began < 5


def test_a_slow_disk_may_take_its_time(diffusion, fault):
    """The call takes 0.6 s, and then fails."""
    for seconds, said in [("0.2", "took more than 0.2 s"), ("2", "cannot open"), ("0", "cannot open")]:
        check_refusal(attntrace("info", diffusion, env=fault("slow", ATTNTRACE_READ_TIMEOUT=seconds)), diffusion, said)


@pytest.mark.parametrize("seconds", ["-1", "soon", "inf", "nan"])
def test_a_time_that_is_none(diffusion, seconds):
    done = attntrace("info", diffusion, env={"ATTNTRACE_READ_TIMEOUT": seconds})
    assert done.returncode == 2 and done.stdout == "" and "ATTNTRACE_READ_TIMEOUT" in done.stderr


@pytest.mark.parametrize("name, said", [("memory", "more than 1.0 GB of memory"), ("killed", "was killed (signal 9)")])
def test_all_of_the_memory(diffusion, fault, name, said):
    """Its own limit, or a system that is short of memory and kills."""
    check_refusal(attntrace("info", diffusion, env=fault(name)), diffusion, said)


def test_a_limit_from_outside(diffusion, fault):
    """Analysis takes what the machine has, or what it is given."""
    limit = 200_000_000
    done = attntrace(
        "sinks", diffusion, env=fault("memory"),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)))
    check_refusal(done, diffusion, "more than 200.0 MB of memory")


def test_no_core_is_left(diffusion, fault, tmp_path):
    attntrace("info", diffusion, env=fault("abort"), cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_wish_to_end_is_passed_on(diffusion, fault):
    """Whatever ends the child and is no crash ends the command in the same way."""
    done = attntrace("info", diffusion, env=fault("terminated"))
    assert done.returncode == -signal.SIGTERM and done.stdout == "" and done.stderr == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_nobody_goes_on_alone(diffusion, fault, number):
    run = start(diffusion, fault("hang", ATTNTRACE_READ_TIMEOUT="60"))
    child = child_of(run)
    time.sleep(0.05)
    run.send_signal(number)
    out, err = run.communicate(timeout=10)
    assert run.returncode == -number and out == "" and err == ""
    deadline = time.monotonic() + 5
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(child)


def test_interrupted_in_a_terminal(diffusion, fault):
    child = pexpect.spawn(
        ATTNTRACE, ["info", str(diffusion)],
        env={**os.environ, **fault("hang", ATTNTRACE_READ_TIMEOUT="60")}, encoding="utf-8", timeout=10,
        preexec_fn=heed_signals)
    while not (found := children(child.pid)):
        time.sleep(0.002)
    time.sleep(0.1)
    child.sendintr()
    said = child.read()
    child.close()
    assert child.signalstatus == signal.SIGINT
    assert "attntrace" not in said
    assert not is_alive(found[0])


def test_stopped_and_continued(diffusion, fault):
    """Time in which a command was stopped is not held against libhdf5."""
    run = start(diffusion, fault("slow", ATTNTRACE_READ_TIMEOUT="1.2"), start_new_session=True)
    child_of(run)
    time.sleep(0.1)
    os.killpg(run.pid, signal.SIGSTOP)
    time.sleep(1.5)
    os.killpg(run.pid, signal.SIGCONT)
    _, err = run.communicate(timeout=10)
    assert run.returncode == 1 and "cannot open" in err


def test_a_reader_that_leaves(diffusion):
    """A closed pipe ends the command silently, as it does any other."""
    done = subprocess.run(
        ["bash", "-c", f"{shlex.quote(ATTNTRACE)} info {shlex.quote(str(diffusion))} | true; exit ${{PIPESTATUS[0]}}"],
        capture_output=True, text=True)
    assert done.returncode in (0, 128 + signal.SIGPIPE) and done.stderr == ""
    read, write = os.pipe()
    os.close(read)
    run = subprocess.run(
        [ATTNTRACE, "info", str(diffusion)], stdout=write, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGPIPE, signal.SIG_DFL))
    os.close(write)
    assert run.returncode == -signal.SIGPIPE and run.stderr == ""


def test_in_a_terminal_a_crash_is_one_line(diffusion, fault):
    child = pexpect.spawn(
        ATTNTRACE, ["info", str(diffusion)], env={**os.environ, **fault("heap")}, encoding="utf-8", timeout=20)
    said = child.read()
    child.close()
    assert child.exitstatus == 1
    assert said.startswith("attntrace: ") and len(said.splitlines()) == 1 and "read.crash" in said


def test_the_c_library_is_not_quoted(diffusion, fault):
    """It has words of its own for a damaged heap."""
    check_refusal(attntrace("info", diffusion, env=fault("heap")), diffusion, "read.crash: libhdf5 crashed on it")


@pytest.mark.parametrize("name, code", [
    ("crash", "read.crash"), ("heap", "read.crash"), ("hang", "read.hang"), ("memory", "read.memory")])
def test_verify_answers_with_a_finding(diffusion, fault, name, code):
    environment = fault(name, ATTNTRACE_READ_TIMEOUT="0.5" if name == "hang" else "8")
    done = attntrace("verify", "--json", diffusion, env=environment)
    assert done.returncode == 1 and done.stderr == ""
    report = json.loads(done.stdout)
    assert report["file"] == str(diffusion) and report["valid"] is False and report["committed_steps"] is None
    [finding] = report["findings"]
    assert finding["code"] == code and finding["severity"] == "error" and finding["object"] == "" and finding["message"]
    done = attntrace("verify", diffusion, env=environment)
    assert done.returncode == 1 and done.stderr == ""
    first, last = done.stdout.splitlines()
    assert first == f"{diffusion}: error {code}: {finding['message']}" and last.startswith(f"{diffusion}: NOT valid")


def test_verify_goes_on_after_a_crash(diffusion, causal, tmp_path):
    path = crashing(diffusion, tmp_path)
    done = attntrace("verify", "--json", diffusion, path, causal)
    assert done.returncode == 1 and done.stderr == ""
    found = json.loads(done.stdout)
    assert [report["file"] for report in found] == [str(diffusion), str(path), str(causal)]
    assert [report["valid"] for report in found] == [True, False, True]
    assert [finding["code"] for finding in found[1]["findings"]] == ["read.crash"]
    lines = attntrace("verify", diffusion, path, causal).stdout.splitlines()
    assert [line.split(": ")[1].split(",")[0] for line in lines] == ["valid", "error read.crash", "NOT valid", "valid"]
    assert attntrace("verify", diffusion, causal).returncode == 0


@pytest.mark.parametrize("name", ["recover", "repack"])
@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGTERM])
def test_an_unfinished_copy_is_removed(traces, tmp_path, name, number):
    """What the child began goes with it; what was there before stays."""
    run = subprocess.Popen(
        [ATTNTRACE, name, str(traces["diffusion"]), "--output", str(tmp_path / "copy.h5")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    child = child_of(run)
    while not list(tmp_path.glob("copy.h5.partial*")):
        assert run.poll() is None
        time.sleep(0.0005)
    os.kill(child, number)
    out, err = run.communicate(timeout=20)
    assert out == "" and list(tmp_path.iterdir()) == []
    if number == signal.SIGSEGV:
        assert run.returncode == 1 and "read.crash" in err
    else:
        assert run.returncode == -number and err == ""


def test_what_was_there_before_stays(diffusion, fault, tmp_path):
    for name in ["copy.h5.partial", "copy.h5.partial.new", "copy.h5"]:
        (tmp_path / name).write_bytes(b"of another run")
    done = attntrace("recover", diffusion, "--output", tmp_path / "copy.h5", "--force", env=fault("crash"))
    assert done.returncode == 1 and "read.crash" in done.stderr
    assert len(list(tmp_path.iterdir())) == 3


def test_answers_come_through(diffusion):
    assert "committed_steps" in answer("info", diffusion, "--json")
