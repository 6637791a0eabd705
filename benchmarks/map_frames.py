"""Frames a second of the map of a page while it is moved and zoomed, in headless Chromium.

    python benchmarks/map_frames.py --points 60000 1000000

The page has the scripts and the style of the report's own map, and points in thirty heaps. Each
motion takes three seconds: a new view in each frame, as when somebody drags or turns the wheel.
Chromium draws without a graphics card (software rendering). Frames are counted by
requestAnimationFrame, of which there are 60 a second at most. Beside them are the medians of the
time that a frame takes in the script, and of the dots that it shows: while a large map moves, not
all are drawn. At rest, after 150 ms, all are; `at_rest_ms` is how long that takes. `busy` is how
many programs wanted a processor at the start and at the end (the load average of a minute). Writes
results/map_frames.json.
"""

import argparse
import os
import shutil
from pathlib import Path
from typing import Any

from common import write_results
from playwright.sync_api import Browser, sync_playwright

from mcevae.pages.report import ASSETS

SCRIPTS = (
    *("store.js", "picked.js", "focus.js", "say.js", "plots.js", "thumbs.js", "detail.js"),
    *("lasso.js", "dots.js", "map.js"),
)
MOTIONS = {
    "drag": "view.x = 40 * Math.sin(t); view.y = 40 * Math.cos(t)",
    "zoom": "view.zoom = Math.exp(1 + Math.sin(t)); view.x = view.y = 0",
    "drag when near": "view.zoom = 12; view.x = 60 * Math.sin(t); view.y = 60 * Math.cos(t)",
}
HTML = """<!doctype html><html lang="en"><head><style>{style}</style></head><body><main>
<select id="colour"></select><button id="nearer"></button><button id="farther"></button>
<div id="map-mode"><input type="radio" name="mode" value="move" checked>
<select id="map-how"><option value="replace"></select><button id="in-sight"></button></div>
<div id="legend"></div><div class="map"><canvas id="map" tabindex="0"></canvas>
<div class="tip" id="tip"></div></div></main><div id="bar"></div><div id="said"></div>
<dialog id="image"></dialog><script>{script}</script></body></html>"""


def measured(browser: Browser, points: int) -> dict[str, Any]:
    """Frames a second of each motion, on a map of so many points."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.on("pageerror", lambda error: print(error))
    parts = [*(ASSETS / name for name in SCRIPTS), Path(__file__).with_suffix(".js")]
    script = "\n".join(part.read_text("utf-8") for part in parts)
    page.set_content(HTML.format(style=(ASSETS / "page.css").read_text("utf-8"), script=script))
    page.evaluate("count => fill(count)", points)
    rows = {name: page.evaluate(f"motion((t) => {{ {does} }})") for name, does in MOTIONS.items()}
    rows["at_rest_ms"] = page.evaluate("atRest()")
    page.close()
    return rows


def main() -> None:
    """Measure and store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, nargs="+", default=[60_000, 1_000_000])
    points = parser.parse_args().points
    before = os.getloadavg()[0]
    with sync_playwright() as play:
        path = shutil.which("chromium")
        browser = play.chromium.launch(executable_path=path, args=["--no-sandbox"])
        rows = {str(count): measured(browser, count) for count in points}
        about = {"chromium": browser.version, "rendering": "software, without a graphics card"}
        browser.close()
    busy = [round(load, 1) for load in (before, os.getloadavg()[0])]
    print(rows, busy)
    print(
        write_results("map_frames", {**about, "window": "1280 x 900", "busy": busy, "points": rows})
    )


if __name__ == "__main__":
    main()
