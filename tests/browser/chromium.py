"""A headless Chromium over the DevTools protocol, with nothing but the standard library.

The protocol runs over two pipes (`--remote-debugging-pipe`: descriptors 3 and 4, messages
end with a zero byte), so that no port is opened.
"""

import base64
import fcntl
import json
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time

NAMES = ("chromium", "chromium-browser", "google-chrome")
KEY_CODES = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Backspace": 8, "Home": 36, "End": 35, "Tab": 9}
MODIFIERS = {"alt": 1, "ctrl": 2, "meta": 4, "shift": 8}


def find():
    """The program; `None` if it is not installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class ProtocolError(Exception):
    """The browser refused a command, or did not answer."""


class Browser:
    """A running browser. Use it as a context manager."""

    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="prof-page-")
        to_read, self.out = os.pipe()
        self.into, to_write = os.pipe()
        # So high that nothing is overwritten when they become 3 and 4.
        ends = [high_copy(to_read), high_copy(to_write)]
        os.close(to_read)
        os.close(to_write)

        def pipes():
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        command = [find() or NAMES[0], "--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]
        command += ["--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", f"--user-data-dir={self.profile}", "about:blank"]
        self.process = subprocess.Popen(command, preexec_fn=pipes, pass_fds=(3, 4, *ends), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for end in ends:
            os.close(end)
        self.messages, self.events, self.last = queue.Queue(), [], 0
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            self.call("Browser.close", timeout=5)
            self.process.wait(5)
        except (ProtocolError, subprocess.TimeoutExpired, OSError):
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def _read(self):
        left = b""
        while chunk := os.read(self.into, 1 << 20):
            *messages, left = (left + chunk).split(b"\0")
            for message in messages:
                self.messages.put(json.loads(message))

    def _take(self, deadline):
        """Waits for a message; events are kept apart."""
        try:
            message = self.messages.get(timeout=max(0.01, deadline - time.monotonic()))
        except queue.Empty:
            raise ProtocolError("no answer in time") from None
        if "id" not in message:
            self.events.append(message)
        return message

    def call(self, method, params=None, session=None, timeout=90):
        """Sends a command and returns its result."""
        self.last += 1
        message = {"id": self.last, "method": method, "params": params or {}, **({"sessionId": session} if session else {})}
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.out, data) :]
        deadline = time.monotonic() + timeout
        while True:
            answer = self._take(deadline)
            if answer.get("id") == self.last:
                if "error" in answer:
                    raise ProtocolError(f"{method}: {answer['error']}")
                return answer["result"]

    def page(self, **options):
        """A new tab."""
        return Page(self, **options)


def high_copy(descriptor):
    """A copy of a descriptor, from 64 on."""
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD, 64)


class Page:
    """One tab: loads a file, sends input as a user would, looks at what is shown."""

    def __init__(self, browser, width=1440, height=900, dark=False, phone=False, scale=1):
        self.browser = browser
        target = browser.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        self.target = target
        self.session = browser.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Performance.enable", {"timeDomain": "threadTicks"})
        self.call("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": phone})
        if phone:
            self.call("Emulation.setTouchEmulationEnabled", {"enabled": True})
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", {"features": features})

    def call(self, method, params=None, **more):
        return self.browser.call(method, params, self.session, **more)

    def close(self):
        self.browser.call("Target.closeTarget", {"targetId": self.target})

    def open(self, url, timeout=60):
        """Loads a page and waits until it is drawn; returns the seconds it took."""
        begin = time.monotonic()
        self.call("Page.navigate", {"url": url})
        self.until("Boolean(window.prof) || !document.getElementById('failure')?.hidden", timeout)
        self.rest()
        return time.monotonic() - begin

    def run(self, script):
        """The value of an expression; promises are awaited."""
        result = self.call("Runtime.evaluate", {"expression": script, "returnByValue": True, "awaitPromise": True})
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise ProtocolError(details.get("exception", {}).get("description") or details["text"])
        return result["result"].get("value")

    def until(self, condition, timeout=20):
        """Waits for an expression to hold, asking the page once a frame."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                if self.run(f"new Promise((done) => setTimeout(() => done({condition}), 16))"):
                    return
            except ProtocolError:
                # The page is about to be another one.
                if time.monotonic() > deadline:
                    raise
            if time.monotonic() > deadline:
                raise ProtocolError(f"in vain waited for: {condition}")

    def rest(self):
        """Waits until what was asked for is on the screen."""
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 0))))")

    def busy_ms(self):
        """Processor time that the page's thread has used."""
        metrics = self.call("Performance.getMetrics")["metrics"]
        return 1000 * next(metric["value"] for metric in metrics if metric["name"] == "ThreadTime")

    def state(self):
        """What `window.prof.state()` says."""
        return self.run("window.prof.state()")

    def box(self, selector):
        """Where an element is in the window; it is scrolled into sight."""
        script = f"""(() => {{
            const element = document.querySelector({json.dumps(selector)});
            element.scrollIntoView({{ block: 'nearest' }});
            const {{ x, y, width, height }} = element.getBoundingClientRect();
            return {{ x, y, width, height }};
        }})()"""
        return self.run(script)

    def mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, **more})

    def click_at(self, x, y):
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y, button="left", clickCount=1)
        self.mouse("mouseReleased", x, y, button="left", clickCount=1)
        self.rest()

    def click(self, selector):
        box = self.box(selector)
        self.click_at(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)

    def press(self, key, *modifiers):
        """A key, by its name as in `KeyboardEvent.key`."""
        text = key if len(key) == 1 else {"Enter": "\r"}.get(key, "")
        base = {"key": key, "windowsVirtualKeyCode": KEY_CODES.get(key, ord(key.upper()[0])), "modifiers": sum(MODIFIERS[name] for name in modifiers)}
        self.call("Input.dispatchKeyEvent", {"type": "keyDown", **base, **({"text": text} if text else {})})
        self.call("Input.dispatchKeyEvent", {"type": "keyUp", **base})
        self.rest()

    def type(self, text):
        self.call("Input.insertText", {"text": text})

    def drag(self, x, y, to_x, steps=20):
        """Presses at a point, moves sideways and lets go."""
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y, button="left", clickCount=1)
        for step in range(1, steps + 1):
            self.mouse("mouseMoved", x + (to_x - x) * step / steps, y, button="left", buttons=1)
        self.mouse("mouseReleased", to_x, y, button="left", clickCount=1)
        self.rest()

    def touch_drag(self, x, y, to_x, steps=10):
        """The same with a finger."""
        self.call("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
        for step in range(1, steps + 1):
            self.call("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x + (to_x - x) * step / steps, "y": y}]})
        self.call("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        self.rest()

    def screenshot(self, path):
        data = self.call("Page.captureScreenshot", {"format": "png"})["data"]
        with open(path, "wb") as file:
            file.write(base64.b64decode(data))

    def complaints(self):
        """What went to the console, was thrown, or was asked of a network."""
        found = []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            params = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(f"exception: {params['exceptionDetails'].get('exception', {}).get('description')}")
            elif event["method"] == "Runtime.consoleAPICalled":
                found.append(f"console: {params['args']}")
            elif event["method"] == "Log.entryAdded":
                found.append(f"log: {params['entry']['text']}")
            elif event["method"] == "Network.requestWillBeSent" and not params["request"]["url"].startswith(("file:", "data:", "blob:")):
                found.append(f"request: {params['request']['url']}")
        return found
