"""A headless Chromium, spoken to over a pipe in its own protocol."""

import base64
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time


class Browser:
    """One page of it. A context manager."""

    def __init__(self, program):
        self._folder = tempfile.mkdtemp()
        (theirs, self._write), (self._read, back) = os.pipe(), os.pipe()

        def hand_over():  # by the numbers at which it looks for them
            kept = os.dup(theirs), os.dup(back)
            for number, end in zip((3, 4), kept, strict=True):
                os.dup2(end, number)

        self._process = subprocess.Popen(
            [
                program, "--headless=new", "--no-sandbox", "--disable-gpu",
                "--disable-dev-shm-usage", "--remote-debugging-pipe", "--no-first-run",
                f"--user-data-dir={self._folder}", "about:blank",
            ],
            preexec_fn=hand_over, close_fds=False,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs)
        os.close(back)
        self._left, self._number, self._session = b"", 0, None
        while not (pages := self._pages()):
            time.sleep(0.1)
        self._session = self.ask("Target.attachToTarget", targetId=pages[0], flatten=True)[
            "sessionId"
        ]
        self.ask("Network.enable")
        self.ask("Network.emulateNetworkConditions", offline=True, latency=0,
                 downloadThroughput=-1, uploadThroughput=-1)  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        self._process.wait(30)
        os.close(self._write)
        os.close(self._read)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _pages(self):
        found = self.ask("Target.getTargets")["targetInfos"]
        return [target["targetId"] for target in found if target["type"] == "page"]

    def ask(self, method, **parameters):
        """What the browser answers to a call of its protocol."""
        self._number += 1
        call = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            call["sessionId"] = self._session
        os.write(self._write, json.dumps(call).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _message(self):
        while b"\0" not in self._left:
            more = os.read(self._read, 1 << 16)
            assert more, "the browser has ended"
            self._left += more
        message, _, self._left = self._left.partition(b"\0")
        return json.loads(message)

    def open(self, path):
        """Opens a file, and waits until it was read."""
        self.ask("Page.enable")
        self.ask("Page.navigate", url=path.absolute().as_uri())
        while self.run("document.readyState") != "complete":
            time.sleep(0.05)

    def run(self, script):
        """The value of a script, awaited where it is a promise."""
        found = self.ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def mouse(self, kind, x, y):
        self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self, width, height, dark=False, mobile=False):
        """The page as a PNG, as a screen of that size shows it."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height,
                 deviceScaleFactor=2 if mobile else 1, mobile=mobile)  # fmt: skip
        self.ask("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])  # fmt: skip
        return base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"])
