"""The README's pictures, of the traces that `make demo` leaves.

    python scripts/pictures.py out/demo docs/images
"""

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

import attntrace
from attntrace import figures

source, target = Path(sys.argv[1]), Path(sys.argv[2])
target.mkdir(parents=True, exist_ok=True)

with sync_playwright() as driver:
    # Debian's Chromium; as root it has no sandbox.
    browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    page = browser.new_page(viewport={"width": 1200, "height": 1300}, color_scheme="light")
    page.goto(f"{(source / 'report.html').resolve().as_uri()}#s=30&l=1&f=46")
    page.wait_for_timeout(3000)
    page.locator("#walk").scroll_into_view_if_needed()
    page.wait_for_timeout(1000)
    box = page.locator("#walk").bounding_box() or {"x": 0, "y": 0, "width": 1200, "height": 1300}
    clip = {"x": 12, "y": box["y"] - 8, "width": 1176, "height": box["height"] - 56}
    page.screenshot(path=target / "page.png", clip=clip, full_page=False)
    browser.close()

with attntrace.open(source / "mdm.h5") as trace:
    figures.drift(trace).savefig(target / "drift.png", dpi=130)
