"""`attntrace serve`: what the page asks for is answered from the file, and nobody else is."""

import concurrent.futures
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import h5py
import numpy as np
import pytest
from browsing import WatchedPage
from serving import Server, status_of
from support import ATTNTRACE, MODELS, PROMPT, REPO, attntrace, capture, heed_signals


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    options = ("--gen-length", 16, "--record", "maps")
    return [
        capture(folder / "mdm.h5", *options),
        capture(folder / "ar.h5", *options, "--model", MODELS / "tiny-ar")]


@pytest.fixture(scope="module")
def server(traces):
    with Server(*traces) as running:
        yield running


def test_url_is_all_that_is_said(traces):
    process = subprocess.Popen(
        [ATTNTRACE, "serve", traces[0]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=heed_signals)
    line = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=20)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[0-9a-f]{48}/\n", line)
    assert rest == ""
    assert errors == "attntrace: Ctrl-C to stop\n"
    assert process.returncode == 0


def test_page(server):
    status, headers, body = server.get()
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert b'id="page"' not in body
    for name, value in {
            "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin", "X-Frame-Options": "DENY"}.items():
        assert headers[name] == value
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "connect-src 'self'" in policy
    assert "script-src 'sha256-" in policy and "'unsafe-inline'" not in policy.split("style-src")[0]
    page = server.json("page.json")
    assert [trace["name"] for trace in page["traces"]] == ["mdm.h5", "ar.h5"]
    assert server.json("analysis/0.json")["metrics"]
    assert server.json("comparison.json")["tables"]
    status, headers, body = server.get("page.json", method="HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) > 1000


def test_blocks_are_the_files_numbers(server, traces):
    with h5py.File(traces[0]) as file:
        timeline = server.block("0/timeline")
        assert np.array_equal(timeline["fed"], file["token_id"][()])
        assert np.array_equal(timeline["predicted"], file["predicted_id"][()])
        maps = file["maps/attention"]
        for step, layer, head in [(0, 0, 0), (3, 5, 2), (15, 7, 5)]:
            truth = maps[step, layer, head].astype(np.float64)
            block = server.block(f"0/map/{step}/{layer}/{head}")
            assert np.array_equal(block["queries"], np.arange(len(truth)))
            assert np.array_equal(block["weights"], truth.astype(np.float32))
        truth = maps[4, 1].astype(np.float64).mean(0)
        assert np.allclose(server.block("0/map/4/1/mean")["weights"], truth, atol=truth.max() / 200)


HOSTILE = {
    "no token": "/", "half a token": "/{half}/page.json", "another token": "/{other}/page.json",
    "upper case": "/{upper}/page.json", "no slash": "/{token}", "twice": "//{token}/page.json",
    "above": "/{token}/../page.json", "file": "/{token}/../../../../etc/passwd", "its file": "/{token}/mdm.h5",
    "encoded": "/{token}/%2e%2e/%2e%2e/etc/passwd", "encoded letters": "/{token}/p%61ge.json",
    "encoded slash": "/{token}%2fpage.json", "zero": "/{token}/page.json%00", "backslash": "/{token}\\page.json",
    "query": "/{token}/page.json?x=1", "star": "*",
    "trailing": "/{token}/page.json/", "huge trace": "/{token}/analysis/99999999999999999999999.json",
    "no such trace": "/{token}/analysis/7.json", "negative": "/{token}/analysis/-1.json",
    "plus": "/{token}/analysis/+0.json", "zeros": "/{token}/analysis/00.json",
    "no such step": "/{token}/block/0/map/9223372036854775807/0/0", "overflow": "/{token}/block/0/map/1/2/9223372036854775808",
    "negative head": "/{token}/block/0/map/1/2/-3", "no such layer": "/{token}/block/0/received/1000000",
    "not a number": "/{token}/block/0/map/a/b/c", "float": "/{token}/block/0/map/1e0/0/0",
    "arabic": "/{token}/block/٠/timeline", "not utf-8": "/{token}/\udcff\udcfe", "deep": "/{token}/" + "a/" * 100,
    "long": "/{token}/" + "a" * 4000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_targets(server, name):
    target = HOSTILE[name].format(
        token=server.token, half=server.token[:24], other="0" * len(server.token), upper=server.token.upper())
    request = server.request("TARGET").replace(b"TARGET", target.encode("utf-8", "surrogateescape"))
    check_refused(server, server.raw(request))


def check_refused(server, answer, statuses=range(400, 500)):
    """A 4xx that tells nothing, or a connection closed; and the server goes on."""
    if answer:
        assert status_of(answer) in statuses
        head, _, body = answer.partition(b"\r\n\r\n")
        assert body in (b"", b'{"error":"there is no such thing in the trace"}')
        for secret in (b".h5", b"/tmp", b"In the", server.token.encode()):
            assert secret not in answer
    assert server.get("page.json", method="HEAD")[0] == 200


REQUESTS = {
    "rebinding": (421, {"host": "evil.example"}), "rebinding with our name": (421, {"host": "127.0.0.1.evil.example"}),
    "another address": (421, {"host": "0.0.0.0"}), "empty host": (421, {"host": ""}),
    "as a proxy": (421, {"host": "evil.example", "target": "http://127.0.0.1/{token}/page.json"}),
    "to another host": (421, {"target": "http://evil.example/{token}/page.json"}),
    "to another host's page": (421, {"target": "http://evil.example/{token}/"}),
    "to one that looks like ours": (421, {"target": "http://127.0.0.1@evil.example/{token}/"}),
    "to none": (421, {"target": "http:///{token}/page.json"}),
    "two hosts": (400, {"fields": ["Host: evil.example"]}),
    "origin": (403, {"fields": ["Origin: https://evil.example"]}), "null origin": (403, {"fields": ["Origin: null"]}),
    "another port": (403, {"fields": ["Origin: http://127.0.0.1:1"]}),
    "cross-site": (403, {"fields": ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"]}),
    "same-site": (403, {"fields": ["Sec-Fetch-Site: same-site", "Sec-Fetch-Mode: cors"]}),
    "framed data": (403, {"fields": ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document"]}),
    "post": (405, {"method": "POST", "fields": ["Content-Length: 0"]}), "put": (405, {"method": "PUT"}),
    "delete": (405, {"method": "DELETE"}), "options": (405, {"method": "OPTIONS"}), "trace": (405, {"method": "TRACE"}),
    "body": (413, {"fields": ["Content-Length: 1000000"]}),
    "chunked": (413, {"fields": ["Transfer-Encoding: chunked"]}),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_hostile_requests(server, name):
    status, options = REQUESTS[name]
    request = server.request(
        options.get("target", "/{token}/page.json").format(token=server.token), *options.get("fields", []), method=options.get("method", "GET"),
        host=options.get("host", "127.0.0.1"))
    answer = server.raw(request)
    assert status_of(answer) == status
    check_refused(server, answer)


BROKEN = {
    "nothing": b"\r\n\r\n", "zeros": bytes(100), "noise": bytes(range(256)) * 40, "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "tls": bytes.fromhex("1603010200010001fc0303") + b"x" * 600, "http/0.9": b"GET /\r\n",
    "no version": b"GET / \r\nHost: localhost\r\n\r\n", "version": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
    "two lengths": b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "length and chunks": b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc",
    "bad chunk": b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "negative length": b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "long line": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "endless header": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 2_000_000,
    "many headers": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
    "folded header": b"GET / HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n",
    "bad name": b"GET / HTTP/1.1\r\nHost: localhost\r\nX y\x00: z\r\n\r\n",
    "line feeds": b"GET / HTTP/1.1\nHost: localhost\nConnection: close\n\n",
    "smuggled": b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\nGET /x HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_http(server, name):
    with server.connect(timeout=5) as connection:
        answer = b""
        try:
            connection.sendall(BROKEN[name])
            connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(1 << 16):
                answer += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass
    check_refused(server, answer)


def test_links_from_elsewhere_open_the_page_and_nothing_else(server):
    fields = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert server.get(**fields)[0] == 200
    assert server.get("page.json", **fields)[0] == 403
    assert server.get(**{**fields, "Sec_Fetch_Dest": "iframe"})[0] == 403


def test_names_and_ports_of_a_tunnel(server):
    for host in ("localhost", "localhost:1234", "127.0.0.1:9", "[::1]:65535"):
        answer = server.raw(server.request(f"/{server.token}/page.json", f"Origin: http://{host}", host=host))
        assert status_of(answer) == 200


def test_listens_on_the_loopback_address_alone(server):
    listening = [
        line.split()[1] for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and int(line.split()[1].rpartition(":")[2], 16) == server.port]
    assert [address.split(":")[0] for address in listening] == ["0100007F"]
    addresses = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()
    for address in addresses + ["127.0.0.2"]:
        with pytest.raises(OSError):
            socket.create_connection((address, server.port), timeout=2)


def test_many_tabs(server):
    """Eight at once: each gets what it asked for, and nothing is mixed up."""
    paths = [f"0/map/{step}/{layer}/{head}" for step in range(8) for layer in range(4) for head in range(3)]
    alone = {path: server.get(f"block/{path}")[2] for path in paths}
    with concurrent.futures.ThreadPoolExecutor(8) as tabs:
        for path, (status, _, body) in zip(paths * 4, tabs.map(lambda p: server.get(f"block/{p}"), paths * 4)):
            assert (status, body) == (200, alone[path])


def test_abandoned_and_flooding_clients(server):
    """A thousand connections of all bad kinds, and the next one is answered; memory stays what it was."""
    before = server.resident_bytes()
    request = server.request(f"/{server.token}/block/0/map/1/1/mean")
    for round in range(4):
        connections = []
        for number in range(250):
            connection = socket.socket()
            connection.setblocking(False)
            connection.connect_ex(("127.0.0.1", server.port))
            connections.append(connection)
        time.sleep(0.1)
        for number, connection in enumerate(connections):
            try:
                connection.send([b"", b"GET /", request, b"\xff" * 100][number % 4])
            except OSError:
                pass
        for connection in connections:
            connection.close()
    assert server.get("page.json", timeout=60)[0] == 200
    assert server.resident_bytes() < before + 50_000_000
    assert server.resident_bytes() < 256_000_000


def is_running(process):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it(traces, number):
    with Server(*traces) as running:
        readers = running.readers()
        idle = running.connect()
        running.raw(running.request(f"/{running.token}/page.json"))
        begun = running.connect()
        begun.sendall(running.request(f"/{running.token}/analysis/0.json"))
        start = time.monotonic()
        code, errors = running.stop(number)
        assert (code, errors) == (0, "attntrace: Ctrl-C to stop\n")
        assert time.monotonic() - start < 5
        for _ in range(100):
            time.sleep(0.02 if any(map(is_running, readers)) else 0)
        assert readers and not any(map(is_running, readers))
        idle.close()
        begun.close()


def test_nohup_keeps_it(traces):
    process = subprocess.Popen(
        [ATTNTRACE, "serve", traces[0]], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    url = process.stdout.readline().strip()
    process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    with urllib.request.urlopen(url + "page.json", timeout=10) as answer:
        assert answer.status == 200
    process.terminate()
    process.communicate(timeout=20)
    assert process.returncode == 0


def test_idle_connections_keep_nobody_out(server):
    idle = [server.connect() for _ in range(300)]
    start = time.monotonic()
    assert server.get("page.json", timeout=9)[0] == 200
    assert time.monotonic() - start < 5
    for connection in idle:
        connection.close()


def test_port_taken(server, traces):
    done = attntrace("serve", traces[0], "--port", server.port)
    assert done.returncode == 3
    assert done.stdout == ""
    assert f"port {server.port}: another program listens there" in done.stderr


@pytest.mark.parametrize("content, code", [(None, 3), (b"no trace", 1)])
def test_what_is_no_trace(tmp_path, content, code):
    path = tmp_path / "x.h5"
    if content:
        path.write_bytes(content)
    done = attntrace("serve", path)
    assert (done.returncode, done.stdout) == (code, "")
    assert str(path) in done.stderr


def chunk_offset(path, index):
    with h5py.File(path) as file:
        return file["maps/attention"].id.get_chunk_info_by_coord(index).byte_offset


def test_damaged_chunk(traces, tmp_path):
    """It is said, and everything else goes on."""
    path = shutil.copy(traces[0], tmp_path / "bad.h5")
    place = chunk_offset(path, (2, 1, 0, 0, 0))
    with open(path, "r+b") as file:
        file.seek(place + 8)
        file.write(b"\xff" * 64)
    with Server(path) as running:
        status, headers, body = running.get("block/0/map/2/1/0")
        assert status == 500
        assert headers["Content-Type"].startswith("application/json")
        assert "maps/attention" in json.loads(body)["error"]
        assert running.get("block/0/map/2/1/1")[0] == 200
        assert running.get("page.json")[0] == 200


def test_truncated_and_replaced_while_served(traces, tmp_path):
    path = shutil.copy(traces[0], tmp_path / "a.h5")
    with Server(path) as running:
        assert running.block("0/map/2/1/0")["weights"].ndim == 2
        os.truncate(path, 5000)
        for item in ("block/0/map/2/1/0", "block/0/map/5/1/0", "page.json", "analysis/0.json"):
            status, _, body = running.get(item)
            assert status == 500
            assert str(path) in json.loads(body)["error"]
        os.remove(path)
        assert "no such file" in json.loads(running.get("page.json")[2])["error"]
        shutil.copy(traces[1], path)
        assert running.json("page.json")["traces"][0]["causal"] is True


def test_damaged_trace_costs_the_others_nothing(traces, tmp_path):
    first, second = (shutil.copy(trace, tmp_path) for trace in traces)
    with Server(first, second) as running:
        assert running.get("block/0/timeline")[0] == 200
        os.truncate(first, 5000)
        for item in ("block/0/map/2/1/0", "analysis/0.json", "page.json", "comparison.json"):
            status, _, body = running.get(item)
            assert status == 500
            assert str(first) in json.loads(body)["error"]
        assert running.block("1/received/0")["received"].ndim == 2
        assert running.json("analysis/1.json")["metrics"]


def test_start_names_the_damaged_trace(traces, tmp_path):
    bad = shutil.copy(traces[0], tmp_path / "bad.h5")
    os.truncate(bad, 5000)
    done = attntrace("serve", traces[1], bad)
    assert (done.returncode, done.stdout) == (1, "")
    assert str(bad) in done.stderr and str(traces[1]) not in done.stderr


def test_reader_that_dies_is_replaced(traces):
    with Server(traces[0]) as running:
        [reader] = running.readers()
        os.kill(reader, signal.SIGSEGV)
        assert running.get("block/0/map/0/0/0")[0] in (200, 500)
        assert running.get("block/0/map/1/0/0")[0] == 200
        assert running.readers() != [reader]


def test_capture_that_still_runs(tmp_path):
    """What was committed is shown; a reload shows more, and the finished trace under the name of the unfinished one."""
    path = tmp_path / "live.h5"
    partial = Path(f"{path}.partial")
    writer = subprocess.Popen(
        [ATTNTRACE, "capture", "--prompt", PROMPT, "--gen-length", "96", "--steps", "96", "--record", "maps", "--output", path],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not partial.exists() or partial.stat().st_size < 3_000_000:
            time.sleep(0.002)
            assert writer.poll() is None
        writer.send_signal(signal.SIGSTOP)
        with Server(partial) as running:
            first = running.json("page.json")["traces"][0]
            assert 0 < len(first["steps"]) < 96 and not first["complete"]
            assert running.block("0/map/0/0/0")["weights"].ndim == 2
            writer.send_signal(signal.SIGCONT)
            assert writer.wait(timeout=60) == 0
            last = running.json("page.json")["traces"][0]
            assert len(last["steps"]) == 96 and last["complete"]
            assert running.block("0/map/95/0/0")["weights"].ndim == 2
    finally:
        if writer.poll() is None:
            writer.kill()
        writer.wait()


def test_browser_shows_a_map(server, browser):
    """In a real browser: maps are drawn as the slider moves, nothing is complained of, nothing asked of anyone else."""
    page = WatchedPage(browser, server.url, local=(server.url, "data:", "blob:"))
    before = page.pixels("#map canvas")
    page.press("ArrowRight", "ArrowRight")
    page.wait("(before) => document.querySelector('#map canvas').toDataURL() !== before", before)
    assert any("/block/0/map/" in url for url in page.requests)
    page.close()


def test_browser_says_what_cannot_be_shown(traces, browser, tmp_path):
    """In the server's words, where the reader looks; and the former map does not stand under another's title."""
    path = shutil.copy(traces[0], tmp_path / "a.h5")
    with Server(path) as running:
        page = WatchedPage(browser, running.url, local=(running.url, "data:", "blob:"))
        page.locator("#walk").scroll_into_view_if_needed()
        os.remove(path)
        page.press("]")
        page.wait("() => document.getElementById('map-caption').textContent.endsWith('layer 1, mean over heads: could not be loaded')")
        assert not page.locator("#map canvas").first.is_visible()
        message = page.locator(".message").first
        assert "no such file" in message.text_content() and str(path) in message.text_content()
        box = message.bounding_box()
        assert 0 <= box["y"] and box["y"] + box["height"] <= page.viewport_size["height"]
        shutil.copy(traces[0], path)
        page.press("]")
        page.wait("() => document.getElementById('map-caption').textContent === 'Step 0, layer 2, mean over heads'")
        assert page.locator("#map canvas").first.is_visible()
        page.context.close()


def test_browser_asks_a_busy_server_again(server, browser):
    page = WatchedPage(browser, server.url, local=(server.url, "data:", "blob:"))
    refused = []

    def refuse(route):
        refused.append(route.request.url)
        route.fulfill(status=503, headers={"Retry-After": "1"}, content_type="application/json", body='{"error": "busy"}')

    page.route("**/block/0/map/*/3/2", refuse, times=1)
    page.select_option("#layer", "3")
    page.select_option("#head", "2")
    page.wait("() => document.getElementById('map-caption').textContent === 'Step 0, layer 3, head 2'")
    assert refused and page.text_of("#messages") == ""
    page.context.close()


def test_browser_lets_go_of_what_nobody_looks_at(server, browser):
    page = WatchedPage(browser, server.url, local=(server.url, "data:", "blob:"))
    ended, held = [], []
    page.on("requestfailed", lambda request: ended.append(request.url))
    page.route("**/block/0/map/*/5/4", lambda route: held.append(route))
    page.select_option("#layer", "5")
    page.select_option("#head", "4")
    for _ in range(6):
        page.press("ArrowRight")
    asked = [route.request.url for route in held]
    assert asked[-1].endswith("/map/6/5/4") and len(asked) > 3
    assert set(asked[:-1]) <= set(ended) and asked[-1] not in ended
    held[-1].continue_()
    page.wait("() => document.getElementById('map-caption').textContent === 'Step 6, layer 5, head 4'")
    page.close()
