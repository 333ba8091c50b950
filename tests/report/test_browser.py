"""The page as a browser sees it. Needs Chromium and its driver; skipped where there are none."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from chunfen.report import render_html
from chunfen.report.wording import LANGUAGES, words

from . import documents

webdriver = pytest.importorskip("selenium.webdriver")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
OVERFLOWING = """
const wide = document.documentElement.clientWidth + 0.5;
return [...document.querySelectorAll('body *')]
  .filter(e => !e.closest('.skip, .defs, thead') && e.getBoundingClientRect().right > wide)
  .map(e => e.tagName + '.' + e.getAttribute('class') + ' ' + e.textContent.slice(0, 40));
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    binary = next(filter(None, map(shutil.which, BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("no chromium and chromedriver on the PATH")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chrome
    chrome.quit()


def show(browser: webdriver.Chrome, path: Path, width: int, scheme: str = "light") -> None:
    """Open a page at a screen width, in light or dark."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get(path.as_uri())


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A quick repair that misses, with hostile replies and very long words, in each language."""
    folder = tmp_path_factory.mktemp("pages")
    before, after, verdict = documents.repaired(proven=False, quick=True)
    before = documents.with_every_text(before, documents.HOSTILE + "x" * 300)
    made = {}
    for lang in LANGUAGES:
        made[lang] = folder / f"{lang}.html"
        made[lang].write_text(render_html(before, after, verdict, documents.manifest(), lang), encoding="utf-8")
    return made


@pytest.mark.slow
@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("width", [390, 800, 1280])
def test_fits_the_screen_and_the_console_is_silent(
    browser: webdriver.Chrome, pages: dict[str, Path], lang: str, width: int
) -> None:
    browser.get_log("performance")
    show(browser, pages[lang], width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script(OVERFLOWING) == []
    assert browser.get_log("browser") == []
    asked = re.findall(r'"documentURL":"[^"]*".*?"url":"([^"]+)"', str(browser.get_log("performance")))
    assert {url for url in asked if not url.startswith("data:")} <= {pages[lang].as_uri()}


@pytest.mark.slow
def test_headings_sort_the_items(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    show(browser, pages["en"], 1280)
    rows = "[...document.querySelectorAll('table.items tbody tr')]"
    read = f"return {rows}.map(r => Number(r.cells[4].dataset.value))"
    button = "document.querySelectorAll('table.items thead th button')[3].click()"
    before = browser.execute_script(read)
    browser.execute_script(button)
    assert browser.execute_script(read) == sorted(before) != before
    browser.execute_script(button)
    assert browser.execute_script(read) == sorted(before, reverse=True)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(browser: webdriver.Chrome, pages: dict[str, Path], scheme: str) -> None:
    """At least 4.5 to 1 (WCAG 2.2, 1.4.3 AA) between every text and what it stands on."""
    show(browser, pages["en"], 1280, scheme)
    style = "getComputedStyle(document.documentElement)"
    read = f"const s = {style}; return arguments[0].map(n => s.getPropertyValue(n).trim())"
    on_paper = ("--ink", "--muted", "--day", "--night", "--pass", "--miss")
    pairs = [(ink, "--paper") for ink in on_paper]
    pairs += [("--muted", "--faint"), ("--on-light", "--day-fill"), ("--on-dark", "--night-fill")]
    for pair in pairs:
        colours = browser.execute_script(read, list(pair))
        assert contrast(*colours) >= 4.5, (pair, colours)


@pytest.mark.slow
@pytest.mark.parametrize("lang", LANGUAGES)
def test_prints_on_paper_with_the_quick_mark_on_every_page(
    browser: webdriver.Chrome, pages: dict[str, Path], lang: str, tmp_path: Path
) -> None:
    show(browser, pages[lang], 1280)
    made = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True, "printBackground": True})
    pdf = base64.b64decode(made["data"])
    sheets = len(re.findall(rb"/Type\s*/Page\b", pdf))
    assert 5 <= sheets <= 25
    assert re.search(rb"/MediaBox\s*\[0 0 59[45]\.?\d* 84[12]", pdf)
    reader = shutil.which("pdftotext")
    if reader:
        assert quick_marks(pdf, words(lang)("quick.mark"), reader, tmp_path) == sheets


def quick_marks(pdf: bytes, mark: str, reader: str, folder: Path) -> int:
    """On how many sheets a mark stands."""
    import subprocess

    source = folder / "page.pdf"
    source.write_bytes(pdf)
    text = subprocess.run([reader, "-layout", str(source), "-"], capture_output=True, check=True).stdout.decode()
    return sum(mark in sheet for sheet in text.split("\f"))


def contrast(one: str, other: str) -> float:
    """Contrast of two #rgb or #rrggbb colours.

    >>> round(contrast("#000", "#ffffff"), 1)
    21.0
    """
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    digits = colour.lstrip("#")
    digits = "".join(2 * d for d in digits) if len(digits) == 3 else digits
    parts = [int(digits[k : k + 2], 16) / 255 for k in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
