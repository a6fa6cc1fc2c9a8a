"""Makes the README's pictures, docs/match.png and docs/report.png, from the demo's recording.

    python demo/make_pictures.py

Needs Chromium, its driver and selenium (Debian: chromium, chromium-driver; the extra `dev`).
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from selenium import webdriver

import inversynth

ROOT = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT = 1280, 1315
"""Pixels of the picture of the report: down to the end of the patch."""


def main() -> None:
    """Matches for five seconds, copies the picture, and takes one of the report."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inversynth.match(ROOT / "demo" / "recording.flac", refine=5, out=folder / "match")
        shutil.copy(folder / "match" / "match.png", ROOT / "docs")
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or ""
        window = f"--window-size={WIDTH},{HEIGHT}"
        for argument in (
            "--headless",
            "--no-sandbox",
            "--hide-scrollbars",
            f"--user-data-dir={folder / 'user'}",
            window,
        ):
            options.add_argument(argument)
        with webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver"))) as driver:
            size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            driver.get((folder / "match" / "report.html").as_uri())
            driver.save_screenshot(str(ROOT / "docs" / "report.png"))
    print("wrote docs/match.png, docs/report.png")


if __name__ == "__main__":
    main()
