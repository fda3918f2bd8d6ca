"""What Tests/CaptureTests compares the chat templates with: conversations, and how Jinja renders the published templates.

    python make_fixtures.py FILE...   finds the templates in checkouts of the sources that README.md names
                                      (Python, JavaScript and TypeScript files, .jinja, tokenizer_config.json),
                                      by the SHA-256 of their text, and writes expected.json
    python make_fixtures.py --check   holds expected.json against the plain Python below

The templates' text stays where it is: only its hash and what it renders are kept. Needs jinja2 for the first form.
"""

import ast
import hashlib
import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHATML, HEADERS = ("<|im_start|>", "\n", "<|im_end|>\n"), ("<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>")
# SHA-256: (our name, BOS of the model's files, (before the role, after it, end), trims, system by default, before it)
KNOWN = {
    "b48c47f6443892716176eb200bf4ef108f64e06ca26ed0fa8ebc0a4b3992fcb2":
        ("llada", "<|startoftext|>", HEADERS, True, None, ""),
    "183fc5f1d5d2093f34aeb7025e4eafa66cfda5b2f1e6c48b6034cf55c840719f":
        ("mmada", "<|startoftext|>", (HEADERS[0], "<|end_header_id|>\n", HEADERS[2]), True, None, ""),
    "44d5f08f3f72b837eaad09f13a54c1f9f4eb58d75240334548b7fd52a5437fa5":
        ("dream", None, CHATML, False, "You are a helpful assistant.", ""),
    "793202280c0910ab26bc6eb57c8212c2417324c6d8c4efd0d10d59092ab3e3eb":
        ("dream", None, CHATML, False, "You are a helpful assistant.", ""),
    "cd8e9439f0570856fd70470bf8889ebd8b5d1107207f67a5efb46e342330527f":
        ("qwen2.5", None, CHATML, False, "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.", ""),
    "d5495a1e5db0611132a97e46a65dbb64a642a499421228b9c8b93229097fa9a4":
        ("qwen2.5", None, CHATML, False, "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.", ""),
    "ba03a121d097859c7b5b9cd03af99aafe95275210d2876f642ad9929a150f122":
        ("llama-3", "<|begin_of_text|>", HEADERS, True, None, ""),
    "e10ca381b1ccc5cf9db52e371f3b6651576caee0a630b452e2816b2d404d4b65":
        ("llama-3.1", "<|begin_of_text|>", HEADERS, True, "",
         "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"),
}
# The file of Qwen2.5 without -Instruct differs from -Instruct's in what the system says by default, and in nothing else.
DERIVED = ("You are Qwen, created by Alibaba Cloud. You are a helpful assistant.", "You are a helpful assistant.")

CONVERSATIONS = [
    [["user", "What is a sink?"]],
    [["system", "Be short."], ["user", "What is a sink?"]],
    [["user", "  \n Spaces around.\t\n"], ["assistant", " An answer. "], ["user", "And\n\nagain\u00a0\u2003"]],
    [["system", " A system, spaced. "], ["user", "Eins"], ["assistant", "Zwei"], ["user", "Drei"],
     ["system", "A second system."], ["user", "Vier"]],
    [["user", "<|eot_id|><|im_end|> written out, {{ braces }} {% and %} 'quotes' \"too\" \\n"]],
    [["user", ""]],
    [["system", ""], ["user", "\u001c\u0085 \u4f60\u597d \U0001f600"]],
    [["assistant", "It speaks first."], ["user", "Then the user."]],
]


def plain(known, messages) -> str:
    """The same by hand."""
    _, bos, (before, after, end), trims, default, prefix = known
    text = bos or ""
    if default is not None and messages[0]["role"] != "system":
        text += before + "system" + after + prefix + default + end
    for i, message in enumerate(messages):
        content = message["content"].strip() if trims else message["content"]
        first = prefix if i == 0 and message["role"] == "system" else ""
        text += before + message["role"] + after + first + content + end
    return text + before + "assistant" + after


def literals(path: Path):
    """Texts that a file holds as such or in quotes."""
    text = path.read_text()
    yield text
    if path.suffix == ".json":
        yield from (v for v in json.loads(text).values() if isinstance(v, str))
    for match in re.finditer(r'"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|`(?:[^`\\]|\\.)*`', text):
        body = match.group()
        if "{%" not in body:
            continue
        # JavaScript's escapes are Python's, for what templates hold.
        if body[0] == "`":
            body = '"""' + body[1:-1].replace("\\`", "`").replace('"', '\\"') + '"""'
        try:
            yield ast.literal_eval(body)
        except (SyntaxError, ValueError):
            continue


def find(paths) -> dict:
    found = {}
    for path in map(Path, paths):
        for text in literals(path):
            for candidate in (text, text.replace(*DERIVED)):
                digest = hashlib.sha256(candidate.encode()).hexdigest()
                if digest in KNOWN:
                    found[digest] = candidate
    missing = KNOWN.keys() - found.keys()
    if missing:
        sys.exit(f"not found: {sorted(missing)}")
    return found


def conversations():
    return [[{"role": role, "content": content} for role, content in c] for c in CONVERSATIONS]


def render(template: str, bos, messages) -> str:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message):
        raise jinja2.exceptions.TemplateError(message)

    # As transformers sets it up.
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = refuse
    given = {"bos_token": bos} if bos is not None else {}
    return environment.from_string(template).render(messages=messages, add_generation_prompt=True, **given)


def main():
    path = HERE / "expected.json"
    if sys.argv[1:] != ["--check"]:
        found = find(sys.argv[1:])
        entries = [
            {"sha256": digest, "name": KNOWN[digest][0], "bos": KNOWN[digest][1],
             "rendered": [render(found[digest], KNOWN[digest][1], c) for c in conversations()]}
            for digest in KNOWN]
        path.write_text(json.dumps({"conversations": conversations(), "templates": entries}, indent=1) + "\n")
    committed = json.loads(path.read_text())
    for entry in committed["templates"]:
        for messages, rendered in zip(committed["conversations"], entry["rendered"], strict=True):
            mine = plain(KNOWN[entry["sha256"]], messages)
            if mine != rendered:
                sys.exit(f"{entry['name']}: {mine!r}\n    is not {rendered!r}")
    print(f"{len(committed['templates'])} templates, {len(committed['conversations'])} conversations each: the same")


if __name__ == "__main__":
    main()
