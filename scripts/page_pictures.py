"""Take the pictures of the report and the explorer that the documentation shows, in Chromium.

    python scripts/page_pictures.py runs/cells cells/cell0001.png
    python scripts/page_pictures.py runs/digits --finds tracks.parquet --frames film.npy

RUN is the run of the first tutorial (docs/tutorials/cells.md), followed to its end; NEW is an image
to look at. With --finds it is the run that found the tracks of a film. It needs Playwright, and a
chromium of the system. The command `mcevae serve` is started for it, and ended.
"""

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

PICTURES = Path(__file__).parents[1] / "docs" / "images"


def opened(page: Page, address: str, height: int) -> None:
    """Open a page, and wait until all of it is there."""
    page.set_viewport_size({"width": 1200, "height": height})
    page.goto(address, wait_until="networkidle")
    page.locator(".group img").first.wait_for()


def take(page: Page, name: str) -> None:
    """Take a picture of the window."""
    page.wait_for_timeout(1500)  # until pictures of cards that came into sight are drawn
    page.screenshot(path=PICTURES / f"{name}.png")


def report(page: Page, run: Path) -> None:
    """The first window of the report."""
    opened(page, (run / "report.html").resolve().as_uri(), 1150)
    take(page, "report")


def explorer(page: Page, address: str, new: Path) -> None:
    """A selection in the explorer, and the latents of a new image."""
    opened(page, address, 980)
    for name in ("sickle", "slipper"):
        page.get_by_role("checkbox", name=f"select group {name}").check()
    some = "state.groups[sortedGroups()[0]].typical.slice(1, 5)"
    page.evaluate(f"pick([...picked.ids, ...{some}])")
    page.locator("#sort").scroll_into_view_if_needed()
    page.evaluate("scrollBy(0, document.getElementById('sort').getBoundingClientRect().top - 60)")
    take(page, "explorer-groups")
    page.evaluate("pick([])")
    page.set_viewport_size({"width": 1200, "height": 1340})
    page.set_input_files("#file", new)
    page.locator("#found button").first.click()
    page.get_by_role("button", name="Move its latents").first.click()
    page.evaluate("document.getElementById('drop').scrollIntoView()")
    take(page, "explorer-latents")


def finds(page: Page, address: str) -> None:
    """A frame in the middle of a film, with a chosen thing."""
    page.set_viewport_size({"width": 1280, "height": 860})
    page.goto(f"{address}/#frame=8", wait_until="networkidle")
    page.locator("#picture").press("n")
    take(page, "finds-page")
    path = PICTURES / "finds-page.png"
    Image.open(path).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE).save(
        path, optimize=True
    )


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("new", type=Path, metavar="NEW", nargs="?")
    parser.add_argument("--finds", metavar="TABLE")
    parser.add_argument("--frames", metavar="FRAMES")
    given = parser.parse_args()
    if (given.new is None) == (given.finds is None):
        parser.error("give NEW, or --finds and --frames")
    command = [sys.executable, "-m", "mcevae", "serve", str(given.run), "--port", "0"]
    if given.finds:
        command += ["--finds", given.finds, "--frames", given.frames]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        found = (re.search(r"http://\S+", line) for line in server.stdout)
        address = next(match[0] for match in found if match)
        with sync_playwright() as play:
            browser = play.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            page = browser.new_page()
            page.set_default_timeout(120_000)
            if given.finds:
                finds(page, address)
            else:
                report(page, given.run)
                explorer(page, address, given.new)
            browser.close()
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
