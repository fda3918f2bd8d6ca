"""A page in headless Chromium, watched: what it says on the console, what it asks for."""

import os
import time
from contextlib import contextmanager
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

    def __init__(self, browser, address, **options):
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
        assert [url for url in self.requests if not url.startswith(LOCAL)] == []
        assert self.text_of("#messages") == ""

    def close(self):
        self.check_quiet()
        self.context.close()


def open_report(browser, path, fragment="", **options):
    """Opens a report from disk."""
    return WatchedPage(browser, Path(path).resolve().as_uri() + fragment, **options)
