"""Pages in a headless Chromium, driven by playwright; a module that imports this is skipped if one of them is missing.

Chromium is the system's own: playwright downloads none.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("chromium is not installed", allow_module_level=True)
pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import Browser, Page, expect, sync_playwright  # noqa: E402

expect.set_options(timeout=30_000)

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run"),
]


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Starts Chromium, and ends it. Its scroll bars take up space, as on a desktop."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=FLAGS, ignore_default_args=["--hide-scrollbars"]
        )
        yield chromium
        chromium.close()


@contextmanager
def opened(
    browser: Browser, address: str, size: tuple[int, int], *, phone: bool = False, complaint: str = "", **media: Any
) -> Iterator[Page]:
    """A page in a window of its own, closed afterwards. All its requests must be those to the host of the address, and
    its console must be empty; given a `complaint`, it may show messages that contain that.

    size: width and height in CSS pixels; a phone has a touch screen and two device pixels for each.
    media: what the user prefers, as `Browser.new_context` takes it: color_scheme, reduced_motion.
    """
    messages: list[str] = []
    hosts: set[str] = set()
    width, height = size
    with browser.new_context(
        viewport={"width": width, "height": height},
        device_scale_factor=2 if phone else 1,
        is_mobile=phone,
        has_touch=phone,
        **media,
    ) as context:
        page = context.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        page.goto(address)
        yield page
    unexpected = [message for message in messages if not complaint or complaint not in message]
    assert unexpected == [], unexpected
    assert hosts == {urlsplit(address).netloc}, hosts
