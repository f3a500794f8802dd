"""A headless Chromium for tests, driven over the DevTools protocol: pages, real pointer and key events, screenshots."""

import asyncio
import base64
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
)
PATIENCE = 30
"""Seconds that a test waits for the browser or for something on a page."""

Point = tuple[float, float]


class Page:
    """A tab. Messages of the browser are kept in `events` as they are read, which each call does."""

    def __init__(self, runner: asyncio.Runner, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.events: list[dict[str, Any]] = []
        self._runner, self._socket, self._number = runner, socket, 0
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of one command of the protocol."""
        return self._runner.run(asyncio.wait_for(self._send(method, parameters), PATIENCE))

    async def _send(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": parameters})
        while True:
            message = await self._socket.receive_json()
            if message.get("id") == self._number:
                assert "result" in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result
            self.events.append(message)

    def resize(self, width: int, height: int, *, phone: bool = False) -> None:
        """The size of the window in CSS pixels; a phone has a touch screen and two device pixels for each."""
        scale = 2 if phone else 1
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=phone
        )
        self.send("Emulation.setTouchEmulationEnabled", enabled=phone, maxTouchPoints=5 if phone else 1)

    def prefer(self, **features: str) -> None:
        """Media features of the user, such as prefers_color_scheme="dark"."""
        wanted = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.send("Emulation.setEmulatedMedia", features=wanted)

    def open(self, address: str) -> None:
        """Loads a page."""
        self.send("Page.navigate", url=address)
        self.wait_for(f"document.readyState === 'complete' && location.href === {json.dumps(address)}")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, JSON at most; a promise is awaited."""
        found = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def text(self, selector: str) -> str:
        """The text of an element."""
        found: str = self.evaluate(f"document.querySelector({json.dumps(selector)}).textContent")
        return found

    def wait_for(self, condition: str) -> None:
        """Waits until a JavaScript expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.evaluate(condition):
            assert time.monotonic() < end, f"{condition} has not become true; the page says {self.text('body')!r}"
            time.sleep(0.03)

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Left, top, width and height of an element in the window."""
        left, top, width, height = self.evaluate(
            f"(({{x, y, width, height}}) => [x, y, width, height])"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        return left, top, width, height

    def drag(self, points: Sequence[Point], *, touch: bool = False) -> None:
        """Presses the mouse button or a finger at the first point, moves over the others, releases."""
        for place, (x, y) in enumerate([*points, points[-1]]):
            kind = "start" if place == 0 else "end" if place == len(points) else "move"
            (self._touch if touch else self._mouse)(kind, x, y)

    def _mouse(self, kind: str, x: float, y: float) -> None:
        name = {"start": "mousePressed", "move": "mouseMoved", "end": "mouseReleased"}[kind]
        self.send("Input.dispatchMouseEvent", type=name, x=x, y=y, button="left", buttons=1, clickCount=1)

    def _touch(self, kind: str, x: float, y: float) -> None:
        points = [] if kind == "end" else [{"x": x, "y": y}]
        self.send("Input.dispatchTouchEvent", type=f"touch{kind.capitalize()}", touchPoints=points)

    def click(self, selector: str) -> None:
        """Clicks on the middle of an element."""
        left, top, width, height = self.box(selector)
        self.drag([(left + width / 2, top + height / 2)])

    def press(self, key: str, times: int = 1, *, hold: bool = False) -> None:
        """Presses a key, and releases it unless it is to be held."""
        more = {"text": key} if len(key) == 1 else {"windowsVirtualKeyCode": 9} if key == "Tab" else {}
        for _ in range(times):
            self.send("Input.dispatchKeyEvent", type="keyDown", key=key, **more)
            if not hold:
                self.release(key)

    def release(self, key: str) -> None:
        """Releases a key."""
        self.send("Input.dispatchKeyEvent", type="keyUp", key=key)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Writes what the window shows, or the whole page."""
        found = self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))

    def complaints(self) -> list[str]:
        """Everything that the console of the page shows, and exceptions."""
        kinds = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
        return [json.dumps(event["params"]) for event in self.events if event["method"] in kinds]

    def hosts(self) -> set[str]:
        """Hosts and ports that the page has sent requests to."""
        sent = [
            event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"
        ]
        return {urlsplit(address).netloc for address in sent if not address.startswith("data:")}


class Browser:
    """A running Chromium."""

    def __init__(self, runner: asyncio.Runner, session: aiohttp.ClientSession, address: str) -> None:
        self._runner, self._session, self._address = runner, session, address

    @contextmanager
    def page(self) -> Iterator[Page]:
        """A new tab, closed afterwards."""
        about = self._runner.run(self._new_tab())
        socket = self._runner.run(self._connect(about["webSocketDebuggerUrl"]))
        page = Page(self._runner, socket)
        try:
            yield page
        finally:
            page.send("Page.close")
            self._runner.run(_close(socket))

    async def _new_tab(self) -> dict[str, Any]:
        async with self._session.put(f"{self._address}/json/new") as response:
            about: dict[str, Any] = await response.json()
            return about

    async def _connect(self, address: str) -> aiohttp.ClientWebSocketResponse:
        return await self._session.ws_connect(address, max_msg_size=0)


async def _close(closable: aiohttp.ClientSession | aiohttp.ClientWebSocketResponse) -> None:
    await closable.close()


async def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession()


@contextmanager
def running_browser(profile: Path) -> Iterator[Browser]:
    """Starts Chromium with a profile in a folder, and ends it."""
    command = ["chromium", *FLAGS, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = _wait_for_port(profile / "DevToolsActivePort", process)
        with asyncio.Runner() as runner:
            session = runner.run(_session())
            try:
                yield Browser(runner, session, f"http://127.0.0.1:{port}")
            finally:
                runner.run(_close(session))
    finally:
        process.terminate()
        process.wait(timeout=PATIENCE)


def _wait_for_port(path: Path, process: "subprocess.Popen[bytes]") -> str:
    """The port in a file that Chromium writes when it is ready."""
    end = time.monotonic() + PATIENCE
    while not (path.is_file() and (lines := path.read_text().splitlines())):
        assert process.poll() is None, "chromium ended at once"
        assert time.monotonic() < end, "chromium did not start"
        time.sleep(0.05)
    return lines[0]
