"""The page to draw on, in a browser: mouse, touch and keyboard, examples, the curl command, several models, recovery.

With PAIRNET_SCREENSHOTS=FOLDER the first test writes page-desktop.png and page-phone.png, the figures of the
documentation, into that folder.
"""

import itertools
import json
import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from browser import running_browser
from running_server import running_server

from pairnet.serving.built_in import built_in_model

pytest_plugins = ("trained_runs",)
pytestmark = pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")

CORNERS = {  # of polylines in units of the side
    3: [(0.3, 0.25), (0.42, 0.17), (0.57, 0.17), (0.66, 0.26), (0.62, 0.39), (0.45, 0.47), (0.6, 0.52), (0.69, 0.63),
        (0.66, 0.76), (0.54, 0.84), (0.4, 0.84), (0.29, 0.77)],
    7: [(0.27, 0.21), (0.7, 0.19), (0.73, 0.21), (0.58, 0.5), (0.46, 0.86)],
}  # fmt: skip
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
BOARDS = [f".pad:nth-of-type({place}) canvas" for place in (1, 2)]
EMPTY = "? ≤ ?"


@pytest.fixture(scope="module")
def server():
    """A server of the built-in model."""
    with running_server() as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with running_browser(tmp_path_factory.mktemp("profile")) as running:
        yield running


@contextmanager
def opened(browser, address, size="desktop"):
    """The page of a server. Afterwards, its console must be empty, and all its requests must be those to the server."""
    with browser.page() as page:
        page.resize(*SIZES[size], phone=size == "phone")
        page.open(f"http://{address}/")
        page.wait_for("document.querySelector('#models').length > 0")
        yield page
        assert page.complaints() == []
        assert page.hosts() == {address}


def along(corners, rounds=3):
    """Points of a polyline, whose corners are cut `rounds` times."""
    for _ in range(rounds):
        cut = [
            (x + (u - x) * share, y + (v - y) * share)
            for (x, y), (u, v) in itertools.pairwise(corners)
            for share in (0.25, 0.75)
        ]
        corners = [corners[0], *cut, corners[-1]]
    return corners


def draw(page, board, digit, *, touch=False):
    left, top, width, height = page.box(board)
    page.drag([(left + width * x, top + height * y) for x, y in along(CORNERS[digit])], touch=touch)


def wait_for_answer(page, answer):
    page.wait_for(f"document.querySelector('#answer').textContent === {json.dumps(answer)}")


def probability_of_curl(page):
    """The answer to the command that the page shows."""
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    done = subprocess.run(["bash", "-c", page.text("#curl")], capture_output=True, text=True, check=True, timeout=60)
    return {output["name"]: output["data"] for output in json.loads(done.stdout)["outputs"]}["probability"][0]


def assert_fits(page):
    """Nothing is wider than the window."""
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("size", SIZES)
def test_drawn_digits_are_answered(server, browser, size):
    with opened(browser, server.rest, size) as page:
        page.prefer(prefers_reduced_motion="reduce")  # bars that do not move in screenshots
        assert_fits(page)
        draw(page, BOARDS[0], 3, touch=size == "phone")
        page.wait_for("document.querySelector('#sentence').textContent === 'Now draw the second digit.'")
        draw(page, BOARDS[1], 7, touch=size == "phone")
        wait_for_answer(page, "3 ≤ 7")
        assert page.text("#sentence") == "3 is equal to or less than 7."
        assert float(page.text("#probability")) > 0.9
        assert re.fullmatch(r"\d+\.\d ms", page.text("#latency"))
        best = page.evaluate("[...document.querySelectorAll('.best .name')].map((name) => name.textContent)")
        assert best == ["3", "7"]
        assert_fits(page)
        _, top, _, height = page.box("#sentence")
        assert top + height < SIZES[size][1], "the answer is not on the first screen"
        if folder := os.environ.get("PAIRNET_SCREENSHOTS"):
            page.screenshot(Path(folder) / f"page-{size}.png")


def test_a_first_screen_on_a_desktop_shows_everything(server, browser):
    with opened(browser, server.rest) as page:
        assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")


def test_the_narrowest_phone_and_dark_colours(server, browser):
    with opened(browser, server.rest, "phone") as page:
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.resize(360, 640, phone=True)
        page.prefer(prefers_color_scheme="dark")
        assert_fits(page)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light


def test_undo_and_clear(server, browser):
    with opened(browser, server.rest) as page:
        draw(page, BOARDS[0], 3)
        draw(page, BOARDS[1], 7)
        wait_for_answer(page, "3 ≤ 7")
        draw(page, BOARDS[1], 3)  # on top
        page.click(".pad:nth-of-type(2) .undo")
        wait_for_answer(page, "3 ≤ 7")
        page.click(".pad:nth-of-type(1) .clear")
        wait_for_answer(page, EMPTY)
        draw(page, BOARDS[0], 7)
        wait_for_answer(page, "7 ≤ 7")


def test_the_keyboard_draws(server, browser):
    with opened(browser, server.rest) as page:
        page.evaluate(f"document.querySelector({json.dumps(BOARDS[0])}).focus()")
        page.press("ArrowLeft", 8)
        page.press("ArrowUp", 12)
        page.press(" ")  # the pen stays down
        page.press("ArrowRight", 15)
        page.press("ArrowDown", hold=True)
        for _ in range(12):
            page.press("ArrowLeft")  # diagonally, with the key that is held
            page.press("ArrowDown", hold=True)
        page.release("ArrowDown")
        page.press(" ")
        page.press("ArrowLeft", 20)  # the pen is up
        page.press("Tab", 3)
        assert page.evaluate(f"document.activeElement === document.querySelector({json.dumps(BOARDS[1])})")
        page.press("ArrowUp", 12)
        page.press(" ", hold=True)
        page.press("ArrowDown", 24)
        page.release(" ")
        page.press("ArrowRight", 10)  # the pen is up
        wait_for_answer(page, "7 > 1")
        page.press("Delete")
        wait_for_answer(page, EMPTY)


@pytest.mark.parametrize(("place", "answer"), [(1, "3 ≤ 7"), (2, "7 > 3"), (3, "5 ≤ 5"), (4, "4 ≤ 9")])
def test_examples(server, browser, place, answer):
    with opened(browser, server.rest) as page:
        page.click(f"#examples button:nth-of-type({place})")
        wait_for_answer(page, answer)


def test_the_curl_command_gets_the_same_answer(server, browser):
    with opened(browser, server.rest) as page:
        page.click("summary")
        draw(page, BOARDS[0], 7)
        draw(page, BOARDS[1], 3)
        wait_for_answer(page, "7 > 3")
        assert_fits(page)
        assert f"{probability_of_curl(page):.3f}" == page.text("#probability")
        for clipboard in ("navigator.clipboard", "undefined"):  # undefined: an insecure context
            page.evaluate(f"Object.defineProperty(navigator, 'clipboard', {{value: {clipboard}, configurable: true}})")
            page.evaluate("document.querySelector('#copied').textContent = ''")
            page.click("#copy")
            page.wait_for("document.querySelector('#copied').textContent === 'Copied'")


def test_two_digits_on_one_side_are_explained(server, browser):
    with browser.page() as page:
        page.resize(*SIZES["desktop"])
        page.open(f"http://{server.rest}/")
        left, top, width, height = page.box(BOARDS[0])
        for x in (0.15, 0.85):
            page.drag([(left + width * x, top + height * y) for _, y in along([(0, 0.2), (0, 0.8)])])
        page.wait_for("document.querySelector('.remark').textContent === 'Not one readable digit yet'")
        assert all("400 (Bad Request)" in text for text in page.complaints())


def test_unsure_answers_and_errors_of_the_server(server, browser):
    """The rule of `pairnet predict`; the page is given answers that the built-in model does not give."""
    with opened(browser, server.rest) as page:
        page.evaluate(
            "window.real = fetch; window.fetch = (path, options) => path.endsWith('/infer')"
            " ? Promise.resolve(new Response(JSON.stringify(window.answer), {status: window.status}))"
            " : window.real(path, options); 0"
        )
        for probability, sentence in [
            (0.61, "The first digit is equal to or less than the second."),
            (0.6, "Unsure: the first digit is equal to or less than the second."),
            (0.5, "Unsure: the first digit is greater than the second."),
            (0.39, "The first digit is greater than the second."),
        ]:
            answer = {"outputs": [{"name": "probability", "data": [probability]}]}
            page.evaluate(f"window.status = 200; window.answer = {json.dumps(answer)}; 0")
            draw(page, BOARDS[0], 3)
            draw(page, BOARDS[1], 7)
            page.wait_for(f"document.querySelector('#sentence').textContent === {json.dumps(sentence)}")
        page.evaluate("window.status = 503; window.answer = {error: 'busy'}; 0")
        draw(page, BOARDS[0], 3)
        page.wait_for("document.querySelector('#problem').textContent.includes('503: busy')")
        assert page.box("#problem")[3] > 0
        page.evaluate("window.fetch = window.real; 0")
        page.wait_for("document.querySelector('#problem').hidden")


def test_several_models(browser, models):
    """One of pooled pairs, without digits: the page sends what it takes and says what it lacks."""
    pooled = models("w_net", "pairs")
    with running_server(built_in_model(), pooled) as server, opened(browser, server.rest) as page:
        draw(page, BOARDS[0], 3)
        draw(page, BOARDS[1], 7)
        wait_for_answer(page, "3 ≤ 7")
        page.evaluate(
            "((select, name) => { select.value = name; select.dispatchEvent(new Event('change')) })"
            f"(document.querySelector('#models'), {json.dumps(pooled.stem)})"
        )
        page.wait_for("document.querySelector('#answer').textContent.startsWith('first ')")
        assert page.box("#models")[2] > 0
        assert page.box("#no-digits")[3] > 0
        assert '"FP32","shape":[1,2,14,14]' in page.text("#curl")
        assert f"{probability_of_curl(page):.3f}" == page.text("#probability")


def test_the_page_continues_when_the_server_is_back(browser):
    with browser.page() as page:
        with running_server() as server:
            page.resize(*SIZES["desktop"])
            page.open(f"http://{server.rest}/")
            draw(page, BOARDS[0], 3)
        draw(page, BOARDS[1], 7)
        page.wait_for("document.querySelector('#problem').textContent.startsWith('The server does not answer.')")
        with running_server("--port", server.rest.rpartition(":")[2]):
            wait_for_answer(page, "3 ≤ 7")
            page.wait_for("document.querySelector('#problem').hidden")
        assert all("net::ERR" in text for text in page.complaints())
