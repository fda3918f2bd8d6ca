"""A page in headless Chromium, watched: what it says on the console, what it asks for."""

import base64
import os
import re
import threading
import time
import zlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import sync_playwright

CHROMIUM = os.environ.get("CHROMIUM") or "/usr/bin/chromium"
LOCAL = ("file:", "data:", "blob:")


@contextmanager
def chromium():
    """A browser for a whole session."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class WatchedPage:
    """A page and everything that it complained of or asked for. Other names are those of Playwright's page."""

    def __init__(self, browser, address, local=LOCAL, **options):
        self.local = local
        self.context = browser.new_context(viewport={"width": 1400, "height": 1000}, **options)
        self.page = self.context.new_page()
        self.complaints, self.requests = [], []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("dialog", lambda dialog: (self.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        self.page.goto(address)
        self.wait("() => document.getElementById('main').hidden === false")
        self.wait("() => document.querySelectorAll('#charts figure').length > 0")
        self.settle()

    def __getattr__(self, name):
        return getattr(self.page, name)

    def wait(self, condition, argument=None, seconds=10):
        """Until a function of the page says yes. Playwright's own waits are evaluated by the page, whose policy forbids it."""
        end = time.monotonic() + seconds
        while not self.page.evaluate(condition, argument):
            assert time.monotonic() < end, f"never came: {condition} {argument}; {self.complaints}"
            time.sleep(0.02)

    def settle(self):
        """Two frames: what was changed is drawn."""
        self.page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 20))))")

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)
        self.settle()

    def text_of(self, selector):
        return self.page.locator(selector).first.text_content()

    def pixels(self, selector):
        """What a canvas shows, for telling pictures apart."""
        return self.page.eval_on_selector(selector, "(canvas) => canvas.toDataURL()")

    def overflows(self):
        return self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth")

    def check_quiet(self):
        """Nothing was complained of, nothing was asked of anyone."""
        assert self.complaints == []
        assert [url for url in self.requests if not url.startswith(self.local)] == []
        assert self.text_of("#messages") == ""

    def close(self):
        self.check_quiet()
        self.context.close()


def open_report(browser, path, fragment="", **options):
    """Opens a report from disk."""
    return WatchedPage(browser, Path(path).resolve().as_uri() + fragment, **options)


@contextmanager
def served(report):
    """The data of a report over HTTP, as `attntrace serve` gives it, from a server of Python's own: yields its address and
    the paths that were asked for. Paths in `missing` are answered with 404."""
    text = Path(report).read_text(encoding="utf-8")
    element = re.compile(r'<script type="(application/json|text/plain)" id="([^"]+)">(.*?)</script>\n?', re.DOTALL)
    answers, asked, missing = {}, [], set()
    for kind, name, content in element.findall(text):
        if kind == "text/plain":
            answers[f"/{name}"] = zlib.decompress(base64.b64decode(content))
        else:
            answers[f"/{name}.json"] = content.encode()
    page = re.sub(r"<meta http-equiv=\"Content-Security-Policy\".*?>", "", element.sub("", text), flags=re.DOTALL)
    answers["/"] = page.encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            body = None if self.path in missing else answers.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "text/html; charset=utf-8" if self.path == "/" else "application/octet-stream")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", asked, missing
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
