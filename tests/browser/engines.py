"""Firefox and WebKit behind one set of verbs, as Debian packages them.

In all other tests Playwright drives Chromium. Both know the commands of WebDriver
(https://www.w3.org/TR/webdriver2/): WebKit by HTTP, Firefox by a socket of its own called Marionette. So one small
client does for both, and nothing is downloaded.
"""

# ruff: noqa: D102  # what `printed` and `heard` do is said once, in Engine

import base64
import io
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from pypdf import PdfReader

WIDTH, HEIGHT = 1280, 900
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
FIND = """const [selector, text] = given, end = Date.now() + 5000;
    const fits = e => e.checkVisibility({ visibilityProperty: true }) && e.textContent.includes(text);
    for (;;) {
        const found = [...document.querySelectorAll(selector)].find(fits);
        if (found) return found.scrollIntoView({ block: "center", behavior: "instant" }), found;
        if (Date.now() > end) throw Error(`nothing visible: ${selector} ${text}`);
        await new Promise(go => setTimeout(go, 30));
    }"""
CONTROL = "\ue009"


class Engine:
    """One browser with one page open, driven by the commands of WebDriver."""

    def __init__(self, send: Callable[..., Any]) -> None:
        self.send = send
        self.send("WebDriver:SetTimeouts", script=180_000, pageLoad=60_000)
        self.send("WebDriver:SetWindowRect", width=WIDTH, height=HEIGHT)

    def open(self, url: str) -> None:
        """Go to an address, and wait until it is loaded."""
        self.send("WebDriver:Navigate", url=url)
        self.until("return document.readyState === 'complete'")  # WebKit may answer before

    def run(self, script: str, *given: object) -> Any:
        """Run the body of an asynchronous function in the page, and give what it returns."""
        body = f"""const given = [...arguments], done = given.pop();
            (async () => {{ {script} }})().then(value => done([value]), error => done(String(error)));"""
        found = self.send("WebDriver:ExecuteAsyncScript", script=body, args=given)
        assert isinstance(found, list), found
        return found[0]

    def found(self, selector: str, text: str = "") -> str:
        """Wait for what is visible, of that selector, and has the text."""
        return self.run(FIND, selector, text)[ELEMENT]

    def click(self, selector: str, text: str = "") -> None:
        """Click it; the pointer is the browser's own."""
        self.send("WebDriver:ElementClick", id=self.found(selector, text))

    def type(self, selector: str, text: str) -> None:
        """Write into a field in place of what it holds, key by key."""
        at = self.found(selector)
        self.send("WebDriver:ElementClear", id=at)
        self.send("WebDriver:ElementSendKeys", id=at, text=text)

    def choose(self, selector: str, *paths: Path) -> None:
        """Choose files."""
        at = self.run("return document.querySelector(given[0])", selector)[ELEMENT]
        self.send("WebDriver:ElementSendKeys", id=at, text="\n".join(map(str, paths)))

    def text(self, selector: str) -> str:
        """Give the text of the first that is found."""
        return str(self.run("return document.querySelector(given[0]).textContent", selector))

    def until(self, script: str, *given: object, seconds: float = 20) -> Any:
        """Run a script until it gives something."""
        end = time.monotonic() + seconds
        while not (found := self.run(script, *given)):
            assert time.monotonic() < end, f"{type(self).__name__}: not within {seconds} s: {script}"
            time.sleep(0.05)
        return found

    def printed(self, url: str) -> str:
        """Print an address, and read the paper."""
        raise NotImplementedError

    def heard(self) -> list[str]:
        """Give what the console has said of errors since it was last asked."""
        raise NotImplementedError


def read(pdf: bytes) -> str:
    """Read what is printed; ligatures and broken lines are not kept apart."""
    text = " ".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)
    return re.sub(r"\s+", " ", text)


class Firefox(Engine):
    """By its own socket; its console is read as its developer tools read it."""

    def printed(self, url: str) -> str:
        self.open(url)
        return read(base64.b64decode(self.send("WebDriver:Print", background=False)))

    def heard(self) -> list[str]:
        self.send("Marionette:SetContext", value="chrome")
        try:
            return self.send(
                "WebDriver:ExecuteScript",
                script="""const all = Services.console.getMessageArray(); Services.console.reset();
                    return all.filter(e => e instanceof Ci.nsIScriptError && e.sourceName.startsWith("http")
                        && !(e.flags & Ci.nsIScriptError.warningFlag)).map(e => e.errorMessage);""",
                args=[],
            )
        finally:
            self.send("Marionette:SetContext", value="content")


class WebKit(Engine):
    """By WebKitGTK's driver, in a browser of our own around its library."""

    def __init__(self, send: Callable[..., Any], folder: Path) -> None:
        super().__init__(send)
        self.log, self.paper, self.seen = folder / "log", folder / "paper.pdf", 0

    def printed(self, url: str) -> str:
        self.open(url)
        self.paper.unlink(missing_ok=True)
        self.run("webkit.messageHandlers.paper.postMessage('')")
        return read(answering(self.paper.read_bytes))

    def heard(self) -> list[str]:
        lines = self.log.read_text("utf-8", "replace").split("\n")
        new, self.seen = lines[self.seen : -1], len(lines) - 1
        return [line for line in new if re.search(r"\bCONSOLE [A-Z ]*ERROR ", line)]


@contextmanager
def running(words: list[str | Path], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until it is no longer needed, and whatever it has started."""
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **options}
    with subprocess.Popen(words, start_new_session=True, **options) as started:
        try:
            yield started
        finally:
            os.killpg(started.pid, signal.SIGTERM)


def free() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def answering(ask: Callable[[], Any], seconds: float = 60) -> Any:
    """Ask until there is an answer."""
    end = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def program(name: str, *usual: str) -> str:
    """Find a program: the one in the variable `QKVDOCS_<NAME>`, or one of the usual ones.

    Raises:
        LookupError: If there is none.
    """
    for one in (os.environ.get(f"QKVDOCS_{name.upper()}", ""), *usual):
        if found := one and shutil.which(one):
            return found
    raise LookupError(f"no {name} found: make browsers, or set QKVDOCS_{name.upper()} to one")


@contextmanager
def firefox(folder: Path, proxy: int) -> Iterator[Engine]:
    """Start Firefox, and speak to its socket: a length, a colon, and a list in JSON."""
    port, number = free(), itertools.count(1)
    settings = {
        "marionette.port": port,
        "network.proxy.type": 1,
        "network.proxy.http": "127.0.0.1",
        "network.proxy.http_port": proxy,
        "network.proxy.ssl": "127.0.0.1",
        "network.proxy.ssl_port": proxy,
    }
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in settings.items())
    (folder / "user.js").write_text("".join(lines), "utf-8")
    words = [program("Firefox", "firefox-esr", "firefox"), "--headless", "--no-remote", "--profile", folder]
    with (
        running([*words, "--marionette", "--remote-allow-system-access"]),
        answering(lambda: socket.create_connection(("127.0.0.1", port))) as line,
        line.makefile("rb") as told,
    ):

        def receive() -> Any:
            length = b""
            while not length.endswith(b":"):
                length += told.read(1) or b"gone:"
            return json.loads(told.read(int(length[:-1])))

        def send(name: str, **given: object) -> Any:
            text = json.dumps([0, next(number), name, given]).encode()
            line.sendall(b"%d:%s" % (len(text), text))
            _, _, error, result = receive()
            assert not error, f"{name}: {error['message']}"
            return result["value"] if isinstance(result, dict) and "value" in result else result

        receive()
        send("WebDriver:NewSession")
        yield Firefox(send)


PATHS = {
    "SetTimeouts": "/timeouts",
    "SetWindowRect": "/window/rect",
    "Navigate": "/url",
    "ExecuteAsyncScript": "/execute/async",
    "ElementClick": "/element/{id}/click",
    "ElementClear": "/element/{id}/clear",
    "ElementSendKeys": "/element/{id}/value",
}
"""Where HTTP takes what the socket takes by name."""


@contextmanager
def webkit(folder: Path, proxy: int) -> Iterator[Engine]:
    """Start a screen, WebKit's driver, and by it our browser; what the console says goes into a file."""
    driver, screen, port = program("WebKit", "WebKitWebDriver"), program("Xvfb", "Xvfb"), free()
    bound = 'import gi; gi.require_version("WebKit2", "4.1")'
    if subprocess.run(["/usr/bin/python3", "-c", bound], capture_output=True, check=False).returncode:
        raise LookupError("no WebKit found for Python: make browsers")
    words = [str(Path(__file__).with_name("smallest_webkit.py")), str(folder), f"http://127.0.0.1:{proxy}"]
    command = f"exec stdbuf -oL /usr/bin/python3 {shlex.join(words)} >{shlex.quote(str(folder))}/log 2>&1"
    with running(
        [screen, "-displayfd", "1", "-screen", "0", "1400x1000x24"], stdout=subprocess.PIPE
    ) as shown:
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        env = {**os.environ, "DISPLAY": f":{int(shown.stdout.readline())}"}

        def ask(path: str, **given: object) -> Any:
            url, body = f"http://127.0.0.1:{port}{path}", json.dumps(given).encode() if given else None
            try:
                return json.load(direct.open(url, body, timeout=200))["value"]
            except HTTPError as error:
                raise AssertionError(f"{path}: {json.load(error)['value']['message']}") from None

        def send(name: str, **given: object) -> Any:
            path = PATHS[name.partition(":")[2]].format(**given)
            return ask(f"/session/{session}{path}", **given)

        with running([driver, f"--port={port}"], env=env):
            answering(lambda: ask("/status"))
            wanted = {"webkitgtk:browserOptions": {"binary": "/bin/sh", "args": ["-c", command]}}
            session = ask("/session", capabilities={"alwaysMatch": wanted})["sessionId"]
            yield WebKit(send, folder)


class Elsewhere(ThreadingHTTPServer):
    """The way to all other hosts: it leads nowhere, and writes down who was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Refuse)
        self.asked: list[str] = []

    def foreign(self) -> list[str]:
        """Give what pages have asked for: not what browsers ask their makers on their own."""
        own = re.compile(r"(content-autofill|update)\.googleapis\.com|\.mozilla\.|firefox")
        return [one for one in self.asked if not own.search(one)]


class Refuse(BaseHTTPRequestHandler):
    """Write down, and refuse."""

    server: Elsewhere

    def handle_one_request(self) -> None:
        """Take any method."""
        if words := self.rfile.readline(9999).split():
            self.server.asked.append(words[1].decode())
        self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        self.close_connection = True


STARTS = {"Firefox": firefox, "WebKit": webkit}
