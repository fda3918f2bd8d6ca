"""Frame times of a report's page while its slider moves over all steps, in headless Chromium.

Moves the slider by one step a frame, there and back, and takes the time from each animation frame to the next; beside it
the time that the page itself is busy with a move, until all that it draws is drawn. A map that was not at hand in time
is counted: its frame still shows the map before. Prints a table, or with --json one JSON object.

    python Benchmarks/page/frames.py report.html [--layer 3] [--head 2] [--rounds 2]
"""

import argparse
import json
import os
from pathlib import Path

from playwright.sync_api import sync_playwright

MOVE = """async ({ rounds }) => {
    const slider = document.getElementById("step");
    const last = Number(slider.max);
    const places = [];
    for (let round = 0; round < rounds; round++) {
        for (let place = 0; place <= last; place++) places.push(place);
        for (let place = last - 1; place > 0; place--) places.push(place);
    }
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    const frames = [], busy = [];
    let late = 0;
    let before = await frame();
    for (const place of places) {
        const start = performance.now();
        slider.value = place;
        slider.dispatchEvent(new Event("input", { bubbles: true }));
        const now = await frame();
        // The page draws in the same frame, before this: what remains is layout and painting.
        document.body.offsetHeight;
        busy.push(performance.now() - now);
        frames.push(now - before);
        before = now;
        if (document.getElementById("map").getAttribute("aria-busy") === "true") late += 1;
    }
    return { frames: frames.slice(1), busy, late, moves: places.length };
}"""


def percentile(values, share):
    """The value that a share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def measure(report, layer, head, rounds):
    """Milliseconds a frame, and what they were measured on."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM") or "/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(f"{Path(report).resolve().as_uri()}#s=0&l={layer}&h={head}")
        page.wait_for_selector("#charts figure")
        page.wait_for_timeout(500)
        page.evaluate("document.getElementById('walk').scrollIntoView({ behavior: 'instant' })")
        found = page.evaluate(MOVE, {"rounds": rounds})
        browser.close()
    result = {"report": Path(report).name, "bytes": Path(report).stat().st_size, "moves": found["moves"], "late": found["late"]}
    for name in ("frames", "busy"):
        result |= {f"{name}_p{share}": percentile(found[name], share / 100) for share in (50, 95, 99)}
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reports", nargs="+", help="pages made by attntrace report")
    parser.add_argument("--layer", default="1")
    parser.add_argument("--head", default="mean")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = [measure(report, options.layer, options.head, options.rounds) for report in options.reports]
    if options.json:
        print(json.dumps(results))
        return
    print(f"{'report':24} {'moves':>6} {'late':>5} {'frame p50':>10} {'p95':>7} {'p99':>7} {'busy p50':>9} {'p95':>7}  ms")
    for each in results:
        print(f"{each['report']:24} {each['moves']:6} {each['late']:5} {each['frames_p50']:10.1f} {each['frames_p95']:7.1f} "
              f"{each['frames_p99']:7.1f} {each['busy_p50']:9.1f} {each['busy_p95']:7.1f}")


if __name__ == "__main__":
    main()
