"""A served page, and what asks it: well-meant requests, and bytes of any kind."""

import json
import os
import signal
import socket
import struct
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
from support import ATTNTRACE, heed_signals

TYPES = {"i32": "<i4", "f32": "<f4", "f16": "<f2", "u8": "u1"}


class Server:
    """`attntrace serve`, running. In a with statement it ends with it."""

    def __init__(self, *arguments, env=None):
        self.process = subprocess.Popen(
            [ATTNTRACE, "serve", "--json", *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, preexec_fn=heed_signals, env={**os.environ, **(env or {})})
        line = self.process.stdout.readline()
        assert line, f"exit {self.process.wait(timeout=20)}: {self.process.stderr.read()}"
        self.told = json.loads(line)
        self.url, self.port = self.told["url"], self.told["port"]
        self.token = self.url.rstrip("/").rpartition("/")[2]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def get(self, path="", method="GET", timeout=30, **headers):
        """Status, headers and body."""
        request = urllib.request.Request(
            self.url + path, method=method, headers={k.replace("_", "-"): v for k, v in headers.items()})
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def json(self, path):
        status, _, body = self.get(path)
        assert status == 200, body
        return json.loads(body)

    def block(self, path):
        """Arrays of a block by name; codes as the numbers that they stand for."""
        status, _, body = self.get(f"block/{path}")
        assert status == 200, body
        return arrays_of(body)

    def connect(self, timeout=5):
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def raw(self, *parts):
        """Everything that comes back for some bytes, until the other side closes or nothing comes for a while."""
        with self.connect(timeout=2) as connection:
            received = b""
            try:
                for part in parts:
                    connection.sendall(part)
                while chunk := connection.recv(1 << 16):
                    received += chunk
            except (ConnectionResetError, BrokenPipeError, TimeoutError):
                pass
            return received

    def request(self, target, *fields, method="GET", host="127.0.0.1"):
        """The bytes of a request that closes its connection."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *fields]
        return "\r\n".join(lines).encode() + b"\r\n\r\n"

    def stop(self, number=signal.SIGINT):
        """Sends a signal; the exit code, and what was said on stderr."""
        self.process.send_signal(number)
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors

    def readers(self):
        """Processes that read for it."""
        listed = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return [int(each) for children in listed for each in children.read_text().split()]

    def resident_bytes(self):
        """Memory of the server and its readers."""
        total = 0
        for process in [self.process.pid, *self.readers()]:
            try:
                status = Path(f"/proc/{process}/status").read_text()
            except FileNotFoundError:
                continue
            total += next((int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmRSS")), 0)
        return total


def arrays_of(body):
    """Arrays of a block by name, from its bytes."""
    (length,) = struct.unpack_from("<I", body)
    head = json.loads(body[4:4 + length])
    place = 4 + length
    assert place % 8 == 0
    arrays = {}
    for each in head["arrays"]:
        kind = np.dtype(TYPES[each["type"]])
        count = int(np.prod(each["shape"]))
        values = np.frombuffer(body, kind, count, place).reshape(each["shape"])
        if "peak" in each:
            values = np.where(values == 255, np.nan, each["peak"] * (values / 254.0) ** 2)
        arrays[each["name"]] = values
        place += -(-count * kind.itemsize // 8) * 8
    assert place == len(body)
    return arrays


def status_of(answer):
    """The status of an answer as it came; None where the connection was closed without one."""
    return int(answer.split()[1]) if answer.startswith(b"HTTP/1.1 ") else None
