"""A browser without a screen, through chromedriver's HTTP interface (W3C WebDriver): Python's standard library is enough."""
import base64
import json
import shutil
import socket
import struct
import subprocess
import time
import urllib.request
import zlib


def available():
    return bool(shutil.which("chromedriver") and shutil.which("chromium"))


class Browser:
    def __init__(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.process = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.base = f"http://127.0.0.1:{port}"
        options = {"binary": shutil.which("chromium"),
                   "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1160,900", "--hide-scrollbars"]}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        for _ in range(100):
            try:
                made = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise RuntimeError("chromedriver does not answer")
        self.base += "/session/" + made["sessionId"]

    def call(self, method, path, body=None):
        request = urllib.request.Request(self.base + path, method=method, headers={"Content-Type": "application/json"},
                                         data=None if body is None else json.dumps(body).encode())
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=120) as answer:
            return json.load(answer)["value"]

    def open(self, path):
        self.call("POST", "/url", {"url": "file://" + str(path)})

    def run(self, script, *arguments):
        return self.call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def devtools(self, command, **parameters):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def scheme(self, name):
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def messages(self):
        """What the console has said since the last time."""
        return [m["message"] for m in self.call("POST", "/se/log", {"type": "browser"})]

    def hover(self, x, y):
        moves = [{"type": "pointerMove", "duration": 0, "x": int(x) - 1, "y": int(y)}, {"type": "pointerMove", "duration": 0, "x": int(x), "y": int(y)}]
        self.call("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "parameters": {"pointerType": "mouse"}, "actions": moves}]})

    def press(self, *keys):
        steps = [step for key in keys for step in ({"type": "keyDown", "value": key}, {"type": "keyUp", "value": key})]
        self.call("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": steps}]})

    def screenshot(self, whole=True, scale=1.0):
        height = "document.documentElement.scrollHeight" if whole else "innerHeight"
        clip = self.run("return {x: 0, y: 0, width: innerWidth, height: " + height + "}")
        shot = self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=whole, clip=dict(clip, scale=scale))
        return base64.b64decode(shot["data"])

    def close(self):
        try:
            self.call("DELETE", "")
        finally:
            self.process.terminate()
            self.process.wait()


def pixels(png):
    """(width, height, rows of bytes, bytes a pixel) of an 8-bit PNG that is not interlaced (RFC 2083)."""
    at, data = 8, b""
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at:at + 8])
        body = png[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
        elif kind == b"IDAT":
            data += body
        at += 12 + length
    assert depth == 8 and colour in (2, 6) and not interlace
    size = 3 if colour == 2 else 4
    raw, rows, last = zlib.decompress(data), [], bytes(width * size)
    for y in range(height):
        line = bytearray(raw[y * (width * size + 1) + 1:(y + 1) * (width * size + 1)])
        kind = raw[y * (width * size + 1)]
        for i in range(len(line)):
            left, up = line[i - size] if i >= size else 0, last[i]
            corner = last[i - size] if i >= size else 0
            if kind == 1:
                line[i] = (line[i] + left) & 255
            elif kind == 2:
                line[i] = (line[i] + up) & 255
            elif kind == 3:
                line[i] = (line[i] + (left + up) // 2) & 255
            elif kind == 4:
                p = left + up - corner
                best = min((abs(p - left), 0, left), (abs(p - up), 1, up), (abs(p - corner), 2, corner))[2]
                line[i] = (line[i] + best) & 255
        last = bytes(line)
        rows.append(last)
    return width, height, rows, size


def colours(png, every=3):
    """Colour -> how many of the pixels looked at."""
    _, height, rows, size = pixels(png)
    seen = {}
    for y in range(0, height, every):
        row = rows[y]
        for i in range(0, len(row), size * every):
            colour = tuple(row[i:i + 3])
            seen[colour] = seen.get(colour, 0) + 1
    return seen
