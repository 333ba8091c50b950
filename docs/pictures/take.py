"""Take the README's pictures of a report: python docs/pictures/take.py runs/…/report.html

Writes report.png (the head and the occupation line) and report-phone.png beside this file. Needs selenium,
Chromium and its driver.
"""

from __future__ import annotations

import base64
import shutil
import sys
from pathlib import Path

from selenium import webdriver

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-sync",
)
EXCERPT = "nav, #figures { display: none } #line { margin-top: 3rem }"
SIZES = {"report.png": (1180, "#line figcaption"), "report-phone.png": (390, "#figures .lead")}
"""Picture → (width in CSS pixels, the last element on it)."""


def take(browser: webdriver.Chrome, page: Path, name: str, width: int, last: str) -> None:
    """One picture at twice the resolution, from the top of the page to just below `last`."""
    screen = {"width": width, "height": 900, "deviceScaleFactor": 2, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get(page.resolve().as_uri())
    if width > 500:
        browser.execute_script("document.head.append(Object.assign(document.createElement('style'),"
                               "{textContent: arguments[0]}))", EXCERPT)  # fmt: skip
    end = browser.execute_script("return document.querySelector(arguments[0]).getBoundingClientRect().bottom", last)
    clip = {"x": 0, "y": 0, "width": width, "height": end + 40, "scale": 1}
    options = {"format": "png", "clip": clip, "captureBeyondViewport": True}
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", options)
    Path(__file__).with_name(name).write_bytes(base64.b64decode(shot["data"]))


def main() -> None:
    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    driver = shutil.which("chromedriver")
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        for name, (width, last) in SIZES.items():
            take(browser, Path(sys.argv[1]), name, width, last)
    finally:
        browser.quit()


if __name__ == "__main__":
    main()
