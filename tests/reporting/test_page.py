"""The page in a browser: desktop and phone, light and dark, nothing cut off, nothing loaded, no complaint."""

import os
import shutil
from pathlib import Path

import pytest
from browser import running_browser
from reporting.test_report import MANY, made

from pairnet.reporting.changes import compare_folders
from pairnet.reporting.files import write_changes, write_report

pytestmark = pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")

SIZES = {"desktop": (1200, 900), "phone": (390, 844)}

CUT_OFF = """[...document.querySelectorAll('body *')].filter(element => {
    const box = element.getBoundingClientRect();
    return box.width > 0 && (box.right > document.documentElement.clientWidth + 1 || box.left < -1)
        && !element.closest('svg');
}).map(element => element.outerHTML.slice(0, 120))"""

TEXT_OUTSIDE = """[...document.querySelectorAll('svg text')].filter(text => {
    const inner = text.getBoundingClientRect(), outer = text.closest('svg').getBoundingClientRect();
    return inner.width > 0 && (inner.right > outer.right + 3 || inner.left < outer.left - 3);
}).map(text => text.textContent)"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    write_report(made(MANY), folder / "report" / "report.html")
    write_changes(compare_folders(MANY, MANY), folder / "changes" / "report.html")
    return folder


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with running_browser(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["report", "changes"])
def test_everything_is_there_and_nothing_is_cut_off(pages, browser, name, size, scheme):
    with browser.page() as page:
        page.resize(*SIZES[size], phone=size == "phone")
        page.prefer(prefers_color_scheme=scheme)
        page.open((pages / name / "report.html").as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
        assert page.evaluate(CUT_OFF) == []
        assert page.evaluate(TEXT_OUTSIDE) == []
        flat = "[...document.querySelectorAll('svg')].filter(each => each.getBoundingClientRect().height < 100).length"
        assert page.evaluate(flat) == 0
        assert page.evaluate("document.querySelectorAll('svg').length") == (0 if name == "changes" else 30)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 28)")
        if folder := os.environ.get("PAIRNET_SCREENSHOTS"):
            page.screenshot(Path(folder) / f"{name}-{size}-{scheme}.png", whole=True)
        assert page.complaints() == []
        assert page.hosts() == {""}


def test_a_print_shows_what_is_folded_away(pages, browser):
    with browser.page() as page:
        page.open((pages / "report" / "report.html").as_uri())
        details = "document.querySelector('details:not(.left-out)'), '::details-content'"
        visibility = f"getComputedStyle({details}).contentVisibility"
        assert page.evaluate(visibility) == "hidden"
        page.send("Emulation.setEmulatedMedia", media="print")
        assert page.evaluate(visibility) == "visible"
