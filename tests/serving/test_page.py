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
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from browser import expect, opened, running_browser
from model_folders import put
from running_server import running_server

from pairnet.serving.built_in import built_in_model

pytest_plugins = ("trained_runs",)

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
def browser():
    with running_browser() as running:
        yield running


@contextmanager
def page_of(server, browser, size="desktop", **options):
    """The page of a server, with its models."""
    with opened(browser, f"http://{server.rest}/", SIZES[size], phone=size == "phone", **options) as page:
        page.locator("#models option").first.wait_for(state="attached")
        yield page


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


def place(page, board, points):
    """Points in units of the side of a board -> in pixels of the window."""
    box = page.locator(board).bounding_box()
    return [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in points]


def draw(page, board, digit):
    drag(page, place(page, board, along(CORNERS[digit])))


def drag(page, points):
    """Presses the mouse button at the first point, moves over the others, releases."""
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point)
    page.mouse.up()


def draw_with_a_finger(page, board, digit):
    """As the protocol of the browser has it: playwright's touch screen knows only taps."""
    protocol = page.context.new_cdp_session(page)
    kind = "touchStart"
    for x, y in place(page, board, along(CORNERS[digit])):
        protocol.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
        kind = "touchMove"
    protocol.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def expect_answer(page, answer):
    expect(page.locator("#answer")).to_have_text(answer)


def probability_of_curl(page):
    """The answer to the command that the page shows."""
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    done = subprocess.run(
        ["bash", "-c", page.text_content("#curl")], capture_output=True, text=True, check=True, timeout=60
    )
    return {output["name"]: output["data"] for output in json.loads(done.stdout)["outputs"]}["probability"][0]


def assert_fits(page):
    """Nothing is wider than the window."""
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize("size", SIZES)
def test_drawn_digits_are_answered(server, browser, size):
    with page_of(server, browser, size, reduced_motion="reduce") as page:  # bars that do not move in screenshots
        write = draw_with_a_finger if size == "phone" else draw
        assert_fits(page)
        write(page, BOARDS[0], 3)
        expect(page.locator("#sentence")).to_have_text("Now draw the second digit.")
        write(page, BOARDS[1], 7)
        expect_answer(page, "3 ≤ 7")
        assert page.text_content("#sentence") == "3 is equal to or less than 7."
        assert float(page.text_content("#probability")) > 0.9
        assert re.fullmatch(r"\d+\.\d ms", page.text_content("#latency"))
        assert page.locator(".best .name").all_text_contents() == ["3", "7"]
        assert_fits(page)
        box = page.locator("#sentence").bounding_box()
        assert box["y"] + box["height"] < SIZES[size][1], "the answer is not on the first screen"
        if folder := os.environ.get("PAIRNET_SCREENSHOTS"):
            page.screenshot(path=Path(folder) / f"page-{size}.png")


def test_a_first_screen_on_a_desktop_shows_everything(server, browser):
    with page_of(server, browser) as page:
        assert page.evaluate("document.documentElement.scrollHeight <= innerHeight")


def test_the_narrowest_phone_and_dark_colours(server, browser):
    with page_of(server, browser, "phone") as page:
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.set_viewport_size({"width": 360, "height": 640})
        page.emulate_media(color_scheme="dark")
        assert_fits(page)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light


def test_undo_and_clear(server, browser):
    with page_of(server, browser) as page:
        draw(page, BOARDS[0], 3)
        draw(page, BOARDS[1], 7)
        expect_answer(page, "3 ≤ 7")
        draw(page, BOARDS[1], 3)  # on top
        page.click(".pad:nth-of-type(2) .undo")
        expect_answer(page, "3 ≤ 7")
        page.click(".pad:nth-of-type(1) .clear")
        expect_answer(page, EMPTY)
        draw(page, BOARDS[0], 7)
        expect_answer(page, "7 ≤ 7")


def test_the_keyboard_draws(server, browser):
    with page_of(server, browser) as page:
        keys = page.keyboard

        def press(key, times=1):
            for _ in range(times):
                keys.press(key)

        page.focus(BOARDS[0])
        press("ArrowLeft", 8)
        press("ArrowUp", 12)
        press(" ")  # the pen stays down
        press("ArrowRight", 15)
        keys.down("ArrowDown")
        for _ in range(12):
            press("ArrowLeft")  # diagonally, with the key that is held
            keys.down("ArrowDown")
        keys.up("ArrowDown")
        press(" ")
        press("ArrowLeft", 20)  # the pen is up
        press("Tab", 3)
        expect(page.locator(BOARDS[1])).to_be_focused()
        press("ArrowUp", 12)
        keys.down(" ")
        press("ArrowDown", 24)
        keys.up(" ")
        press("ArrowRight", 10)  # the pen is up
        expect_answer(page, "7 > 1")
        press("Delete")
        expect_answer(page, EMPTY)


@pytest.mark.parametrize(("place", "answer"), [(1, "3 ≤ 7"), (2, "7 > 3"), (3, "5 ≤ 5"), (4, "4 ≤ 9")])
def test_examples(server, browser, place, answer):
    with page_of(server, browser) as page:
        page.click(f"#examples button:nth-of-type({place})")
        expect_answer(page, answer)


def test_the_curl_command_gets_the_same_answer(server, browser):
    with page_of(server, browser) as page:
        page.click("summary")
        draw(page, BOARDS[0], 7)
        draw(page, BOARDS[1], 3)
        expect_answer(page, "7 > 3")
        assert_fits(page)
        assert f"{probability_of_curl(page):.3f}" == page.text_content("#probability")
        for clipboard in ("navigator.clipboard", "undefined"):  # undefined: an insecure context
            page.evaluate(f"Object.defineProperty(navigator, 'clipboard', {{value: {clipboard}, configurable: true}})")
            page.evaluate("document.querySelector('#copied').textContent = ''")
            page.click("#copy")
            expect(page.locator("#copied")).to_have_text("Copied")


@pytest.mark.parametrize("size", SIZES)
def test_two_digits_on_one_side_are_explained(server, browser, size):
    with page_of(server, browser, size, complaint="400 (Bad Request)") as page:
        for x in (0.15, 0.85):
            drag(page, place(page, BOARDS[0], along([(x, 0.2), (x, 0.8)])))
        remark = page.locator(".remark").first
        expect(remark).to_have_text("Expected one digit, got 2 side by side: crop the picture to one of them.")
        inner, outer = remark.bounding_box(), page.locator(BOARDS[0]).bounding_box()
        assert inner["x"] >= outer["x"]
        assert inner["y"] >= outer["y"]
        assert inner["x"] + inner["width"] <= outer["x"] + outer["width"]


def test_a_tap_is_explained(server, browser):
    with page_of(server, browser) as page:
        page.locator(BOARDS[0]).click()
        expect(page.locator(".remark").first).to_have_text("Expected a digit, got a dot: draw larger.")
        page.click(".pad:nth-of-type(1) .clear")
        draw(page, BOARDS[0], 7)
        expect(page.locator(".remark").first).to_have_text("")


def test_the_surest_answer_has_a_bar(server, browser):
    with page_of(server, browser, reduced_motion="reduce") as page:
        assert page.locator("#bar").bounding_box()["width"] == 0
        draw(page, BOARDS[0], 7)
        draw(page, BOARDS[1], 3)
        expect_answer(page, "7 > 3")
        assert page.locator("#bar").bounding_box()["width"] >= 5


def test_unsure_answers_and_errors_of_the_server(server, browser):
    """The rule of `pairnet predict`; the page is given answers that the built-in model does not give."""
    with page_of(server, browser, complaint="503 (Service Unavailable)") as page:

        def answer(status, content):
            page.route("**/infer", lambda route: route.fulfill(status=status, json=content))
            draw(page, BOARDS[0], 3)

        draw(page, BOARDS[1], 7)
        for probability, sentence in [
            (0.61, "The first digit is equal to or less than the second."),
            (0.6, "Unsure: the first digit is equal to or less than the second."),
            (0.5, "Unsure: the first digit is greater than the second."),
            (0.39, "The first digit is greater than the second."),
        ]:
            answer(200, {"outputs": [{"name": "probability", "data": [probability]}]})
            expect(page.locator("#sentence")).to_have_text(sentence)
        answer(503, {"error": "busy"})
        expect(page.locator("#problem")).to_contain_text("503: busy")
        expect(page.locator("#problem")).to_be_visible()
        page.unroute_all()
        expect(page.locator("#problem")).to_be_hidden()


def test_several_models(browser, models):
    """One of pooled pairs, without digits: the page sends what it takes and says what it lacks."""
    pooled = models("w_net", "pairs")
    with running_server(built_in_model(), pooled) as server, page_of(server, browser) as page:
        draw(page, BOARDS[0], 3)
        draw(page, BOARDS[1], 7)
        expect_answer(page, "3 ≤ 7")
        page.select_option("#models", pooled.stem)
        expect_answer(page, re.compile("first "))
        expect(page.locator("#no-digits")).to_be_visible()
        assert '"FP32","shape":[1,2,14,14]' in page.text_content("#curl")
        assert f"{probability_of_curl(page):.3f}" == page.text_content("#probability")


def test_another_model_is_chosen_once_the_chosen_one_is_unloaded(browser, models, tmp_path):
    put(tmp_path, "chosen", 1, built_in_model())
    with (
        running_server(models("w_net", "pairs"), "--models", tmp_path, "--control") as server,
        page_of(server, browser, complaint="404") as page,
    ):
        page.select_option("#models", "chosen")
        draw(page, BOARDS[0], 3)
        draw(page, BOARDS[1], 7)
        expect_answer(page, "3 ≤ 7")
        request = urllib.request.Request(f"http://{server.rest}/v2/repository/models/chosen/unload", method="POST")
        urllib.request.urlopen(request, timeout=30).close()
        draw(page, BOARDS[1], 3)  # the page says for a second that the model has gone
        expect_answer(page, re.compile("first "))
        expect(page.locator("#problem")).to_be_hidden()


def test_the_page_continues_when_the_server_is_back(browser):
    with ExitStack() as stack:
        with running_server() as server:
            page = stack.enter_context(page_of(server, browser, complaint="net::ERR"))
            draw(page, BOARDS[0], 3)
        draw(page, BOARDS[1], 7)
        expect(page.locator("#problem")).to_contain_text("The server does not answer.")
        with running_server("--port", server.rest.rpartition(":")[2]):
            expect_answer(page, "3 ≤ 7")
            expect(page.locator("#problem")).to_be_hidden()
