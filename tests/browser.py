"""Chromium without a window, driven through its DevTools protocol over a pipe: needs nothing but Python. Used by
page_test.py and study_page_test.py."""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome-headless-shell")
KEYS = {"Enter": (13, "\r"), "Tab": (9, ""), "Escape": (27, ""), " ": (32, " "), "ArrowRight": (39, ""), "ArrowLeft": (37, ""), "Backspace": (8, "")}
KEYS.update({str(digit): (48 + digit, str(digit)) for digit in range(10)})


def find_chromium():
    """COALA_CHROMIUM, or a Chromium on the path; None where there is none."""
    named = os.environ.get("COALA_CHROMIUM")
    return named or next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    def __init__(self, program):
        self.profile = tempfile.mkdtemp(prefix="coala-browser-")
        to_read, to_write = os.pipe(), os.pipe()  # what it reads, what it writes

        def connect():  # Chromium reads from 3 and writes to 4
            ends = [os.dup(to_read[0]), os.dup(to_write[1])]
            ends = [end if end > 4 else os.dup2(end, 10 + end) for end in ends]
            os.dup2(ends[0], 3)
            os.dup2(ends[1], 4)

        self.process = subprocess.Popen(
            [program, "--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             "--disable-dev-shm-usage", "--disable-background-networking", "--no-first-run",
             "--disable-component-update", f"--user-data-dir={self.profile}"],
            preexec_fn=connect, pass_fds=(3, 4), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        os.close(to_read[0])
        os.close(to_write[1])
        self.output, self.input = to_read[1], to_write[0]
        self.rest, self.last, self.events = b"", 0, []

    def send(self, method, session=None, **parameters):
        """Its result."""
        self.last += 1
        number = self.last
        message = {"id": number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        os.write(self.output, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            answer = self.receive(deadline - time.monotonic())
            if answer and answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
        raise TimeoutError(f"{method} was not answered")

    def receive(self, seconds):
        """The next message within this time; events are kept."""
        while b"\0" not in self.rest:
            if not select.select([self.input], [], [], max(0, seconds))[0]:
                return None
            piece = os.read(self.input, 1 << 20)
            if not piece:
                raise RuntimeError("the browser has ended")
            self.rest += piece
        line, self.rest = self.rest.split(b"\0", 1)
        message = json.loads(line)
        if "method" in message:
            self.events.append(message)
        return message

    def page(self, width, height, scheme="light", beside=None):
        """@param beside  a page whose storage it shares"""
        return Tab(self, width, height, scheme, beside)

    def close(self):
        try:
            self.send("Browser.close")
            self.process.wait(10)
        except Exception:  # it may be gone already
            self.process.kill()
            self.process.wait()
        os.close(self.output)
        os.close(self.input)
        shutil.rmtree(self.profile, ignore_errors=True)


class Tab:
    """A page of its own, with storage of its own unless it stands beside another."""

    def __init__(self, browser, width, height, scheme, beside=None):
        self.browser = browser
        self.context = beside.context if beside else browser.send("Target.createBrowserContext")["browserContextId"]
        target = browser.send("Target.createTarget", url="about:blank", browserContextId=self.context)["targetId"]
        self.session = browser.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            self.send(f"{domain}.enable")
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def send(self, method, **parameters):
        return self.browser.send(method, self.session, **parameters)

    def open(self, url):
        self.send("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def value(self, expression):
        """Of an expression, awaited where it is a promise."""
        result = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise RuntimeError(result["exceptionDetails"])
        return result["result"].get("value")

    def wait(self, expression, seconds=20):
        deadline = time.monotonic() + seconds
        while not self.value(f"Boolean({expression})"):
            if time.monotonic() > deadline:
                raise AssertionError(f"{expression} did not become true; the page says {self.value('document.body.innerText')}")
            time.sleep(0.05)

    def key(self, name, shift=False):
        code, text = KEYS[name]
        parts = {"key": name, "windowsVirtualKeyCode": code, "modifiers": 8 if shift else 0}
        self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **parts)
        self.send("Input.dispatchKeyEvent", type="keyUp", **parts)

    def type(self, text):
        self.send("Input.insertText", text=text)

    def tab_to(self, expression, back=False):
        """Presses Tab until the focused element makes the expression true (`it` is the element)."""
        for _ in range(60):
            if self.value(f"((it) => {expression})(document.activeElement)"):
                return
            self.key("Tab", shift=back)
        raise AssertionError(f"Tab does not lead to {expression}")

    def unnamed_controls(self):
        """Roles of controls that a screen reader has no name for."""
        roles = {"button", "textbox", "combobox", "slider", "spinbutton", "link", "DisclosureTriangle"}
        nodes = self.send("Accessibility.getFullAXTree")["nodes"]
        return [node["role"]["value"] for node in nodes
                if not node["ignored"] and node["role"]["value"] in roles and not node.get("name", {}).get("value")]

    def screenshot(self, path, whole=True):
        """Of the whole page, or of what is in the window."""
        image = self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        with open(path, "wb") as file:
            file.write(base64.b64decode(image["data"]))

    def seen(self, method):
        return [event["params"] for event in self.browser.events
                if event.get("sessionId") == self.session and event["method"] == method]

    def complaints(self):
        """What the console has of errors and warnings, a blocked script or style among them, each with its address."""
        found = [f"{one['entry']['text']} {one['entry'].get('url', '')}" for one in self.seen("Log.entryAdded")
                 if one["entry"]["level"] in ("error", "warning")]
        found += [str(one["args"]) for one in self.seen("Runtime.consoleAPICalled") if one["type"] in ("error", "warning")]
        return found + [str(one["exceptionDetails"]) for one in self.seen("Runtime.exceptionThrown")]

    def addresses(self):
        return [one["request"]["url"] for one in self.seen("Network.requestWillBeSent")]

    def close(self):
        self.browser.send("Target.disposeBrowserContext", browserContextId=self.context)
