"""A headless Chromium, driven over its DevTools protocol: open a page, question it, look at it."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

import websocket

# The page is laid out anew, and what moves has arrived.
SETTLED = """
    new Promise(requestAnimationFrame).then(() => new Promise(requestAnimationFrame)).then(() =>
        Promise.allSettled(document.getAnimations().map(moving => moving.finished))
    ).then(() => true)
"""
# All mathematics, not only what is near the window.
TYPESET = """
    !window.MathJax || MathJax.startup.promise
        .then(() => MathJax.startup.document.lazyTypesetAll()).then(() => true)
"""
A4_WIDTH = 718  # CSS pixels, without margins of 1 cm
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def executable() -> str | None:
    """The browser of this machine, if it has one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page of one browser that can reach this machine and nothing else.

    ``requests`` collects the addresses that the page asked for, ``errors`` what it wrote to the
    console as an error.
    """

    def __init__(self, timeout: float = 120) -> None:
        self.timeout = timeout
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._ids = itertools.count()
        self._events: set[str] = set()

    def __enter__(self) -> Self:
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            [
                executable(),
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
                "--remote-debugging-port=0",
                "--remote-allow-origins=*",
                f"--user-data-dir={self._profile.name}",
                "about:blank",
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port = self._port()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            page = next(target for target in json.load(answer) if target["type"] == "page")
        self._socket = websocket.create_connection(
            page["webSocketDebuggerUrl"], timeout=self.timeout
        )
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._process.terminate()
        self._process.wait()
        self._profile.cleanup()

    def open(self, url: str, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        """Load ``url`` in a window of that size, and wait for the page and its mathematics."""
        self.requests.clear()
        self.errors.clear()
        self._events.clear()
        self.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", media="", features=[scheme])
        self.send("Page.navigate", url=url)
        while "Page.loadEventFired" not in self._events:
            self._receive()
        self.ask(TYPESET)

    def resize(self, width: int, height: int = 900) -> None:
        """Give the window another size; a narrow one is a phone's."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.ask(SETTLED)

    def lay_out_on_paper(self) -> None:
        """Show the page as it is printed on A4 with the browser's margins."""
        self.ask("dispatchEvent(new Event('beforeprint'))")
        self.send("Emulation.setEmulatedMedia", media="print")
        self.resize(A4_WIDTH)

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page, awaited if it is a promise."""
        answer = self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"]["description"])
        return answer["result"].get("value")

    def screenshot(self, path: Path, full: bool = False) -> None:
        """Write a picture of the window, or of the full page, as PNG."""
        data = self.send("Page.captureScreenshot", captureBeyondViewport=full)["data"]
        path.write_bytes(base64.b64decode(data))

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol and return its result."""
        id = next(self._ids)
        self._socket.send(json.dumps({"id": id, "method": method, "params": parameters}))
        while (message := self._receive()).get("id") != id:
            pass
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']['message']}")
        return message["result"]

    def _receive(self) -> dict[str, Any]:
        message = json.loads(self._socket.recv())
        match message:
            case {"method": "Network.requestWillBeSent", "params": event}:
                self.requests.append(event["request"]["url"])
            case {"method": "Runtime.exceptionThrown", "params": event}:
                self.errors.append(event["exceptionDetails"]["text"])
            case {"method": "Runtime.consoleAPICalled", "params": {"type": "error"} as event}:
                self.errors.append(" ".join(str(part.get("value")) for part in event["args"]))
            case {"method": "Log.entryAdded", "params": {"entry": {"level": "error"} as entry}}:
                self.errors.append(f"{entry['text']} {entry.get('url', '')}")
        self._events.add(message.get("method", ""))
        return message

    def _port(self) -> int:
        """The port on which the browser listens; it writes it down once it is up."""
        note = Path(self._profile.name) / "DevToolsActivePort"
        deadline = time.monotonic() + self.timeout
        while not (note.exists() and note.read_text().count("\n")):
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"{executable()} did not start within {self.timeout:.0f} s.")
            time.sleep(0.05)
        return int(note.read_text().splitlines()[0])
