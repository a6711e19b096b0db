"""A page in Debian's Chromium, without a window: driven by its DevTools protocol over a pair of pipes."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SECONDS = 60.0


class Page:
    """One open page; `messages` has what its console and the browser's log have said."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._received = b""
        self._number = 0
        self._session = ""
        self.messages: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, answer["error"]
        result: dict[str, Any] = answer["result"]
        return result

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            data = os.read(self._from, 1 << 20)
            assert data, "the browser has ended"
            self._received += data
        message, _, self._received = self._received.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def _note(self, event: dict[str, Any]) -> None:
        parameters = event.get("params", {})
        if event["method"] == "Runtime.exceptionThrown":
            self.messages.append(json.dumps(parameters["exceptionDetails"]))
        elif event["method"] == "Log.entryAdded":
            self.messages.append(parameters["entry"]["text"])
        elif event["method"] == "Runtime.consoleAPICalled":
            self.messages.append(json.dumps(parameters["args"]))

    def show(self, url: str, width: int, height: int, scheme: str = "light") -> None:
        """Open a URL in a window of that size; `scheme` is light or dark."""
        is_small = width < 500
        self._call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=is_small
        )
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        navigated = self._call("Page.navigate", url=url)
        assert "errorText" not in navigated, navigated["errorText"]  # the browser shows a page of its error
        self.wait_for("location.href !== 'about:blank' && document.readyState === 'complete'")

    def value(self, expression: str) -> Any:
        """Return the value of an expression of JavaScript in the page."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> Any:
        """Wait until an expression is true; return its value."""
        until = time.monotonic() + SECONDS
        while not (value := self.value(expression)):
            assert time.monotonic() < until, f"{expression} has not become true; the browser said {self.messages}"
            time.sleep(0.05)
        return value

    def screenshot(self, path: Path) -> None:
        """Write the whole page as a PNG."""
        size = self._call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self._call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))


def _dup_above(number: int, descriptor: int) -> int:
    """Return a copy of a descriptor, with a number above this one."""
    low = []
    while (copy := os.dup(descriptor)) <= number:
        low.append(copy)
    for one in low:
        os.close(one)
    return copy


@contextlib.contextmanager
def page(profile: Path, *options: str) -> Iterator[Page]:
    """Start the browser with an empty profile and further options, and open a page."""
    assert CHROMIUM is not None
    # The browser reads from descriptor 3 and writes to 4. A first process puts them there: ours need other numbers.
    (read_end, to_browser), (from_browser, write_end) = os.pipe(), os.pipe()
    theirs = [_dup_above(9, end) for end in (read_end, write_end)]
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import os, sys; os.dup2({theirs[0]}, 3); os.dup2({theirs[1]}, 4); os.execv(sys.argv[1], sys.argv[1:])",
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",  # as root it has none
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--remote-debugging-pipe",
            f"--user-data-dir={profile}",
            *options,
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=theirs,
    )
    for end in (read_end, write_end, *theirs):
        os.close(end)
    try:
        yield Page(to_browser, from_browser)
    finally:
        process.kill()
        process.wait()
        os.close(to_browser)
        os.close(from_browser)
