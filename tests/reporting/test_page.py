"""The page in a browser: desktop and phone, light and dark, nothing cut off, nothing loaded, no complaint."""

import os
from pathlib import Path

import pytest
from browser import opened, running_browser
from reporting.test_report import MANY, made

from pairnet.reporting.changes import compare_folders
from pairnet.reporting.files import write_changes, write_report

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
def browser():
    with running_browser() as running:
        yield running


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["report", "changes"])
def test_everything_is_there_and_nothing_is_cut_off(pages, browser, name, size, scheme):
    address = (pages / name / "report.html").as_uri()
    with opened(browser, address, SIZES[size], phone=size == "phone", color_scheme=scheme) as page:
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
        assert page.evaluate(CUT_OFF) == []
        assert page.evaluate(TEXT_OUTSIDE) == []
        flat = "[...document.querySelectorAll('svg')].filter(each => each.getBoundingClientRect().height < 100).length"
        assert page.evaluate(flat) == 0
        assert page.evaluate("document.querySelectorAll('svg').length") == (0 if name == "changes" else 31)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 28)")
        if folder := os.environ.get("PAIRNET_SCREENSHOTS"):
            page.screenshot(path=Path(folder) / f"{name}-{size}-{scheme}.png", full_page=True)


def test_a_print_shows_what_is_folded_away(pages, browser):
    with opened(browser, (pages / "report" / "report.html").as_uri(), SIZES["desktop"]) as page:
        details = "document.querySelector('details:not(.left-out)'), '::details-content'"
        visibility = f"getComputedStyle({details}).contentVisibility"
        assert page.evaluate(visibility) == "hidden"
        page.emulate_media(media="print")
        assert page.evaluate(visibility) == "visible"
