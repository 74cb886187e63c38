"""From the click on Run to the output, in a browser that has nothing yet. `python benchmarks/run.py [times]`.

Needs the runtime (`make runtime`). The site is served as a plain host does it: compressed, kept for ten minutes.
"""

import gzip
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
FIRST, LATER = "lessons/04-qkv-projections/", "lessons/02-causal-mask/"
COLD, WARM, BLOCKED = 8000.0, 1000.0, 300.0
TIMES = 3

RUN = """async () => {
    window.longest = 0;
    new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) window.longest = Math.max(window.longest, duration);
    }).observe({ type: "longtask" });
    const element = document.querySelector("qkv-run");
    element.querySelector("button").click();
    const start = performance.now();
    element.go.click();
    while (!element.halt.hidden) await new Promise((wait) => setTimeout(wait, 1));
    if (!element.status.textContent.startsWith("Done")) throw new Error(element.status.textContent);
    const took = performance.now() - start;
    await new Promise((wait) => setTimeout(wait, 100));
    return [took, window.longest];
}"""


@cache
def packed(path: str) -> bytes:
    """Compress a file once."""
    return gzip.compress(Path(path).read_bytes())


class Host(SimpleHTTPRequestHandler):
    """Compresses what is worth it, lets browsers keep it, and counts what it sends."""

    sent = 0

    def do_GET(self) -> None:
        """Send a file."""
        path = Path(self.translate_path(self.path))
        path = path / "index.html" if path.is_dir() else path
        if not path.is_file():
            return self.send_error(404)
        squeeze = path.suffix not in {".whl", ".zip", ".woff2"}
        data = packed(str(path)) if squeeze else path.read_bytes()
        Host.sent += len(data)
        self.send_response(200)
        if squeeze:
            self.send_header("Content-Encoding", "gzip")
        for name, value in {
            "Content-Type": self.guess_type(str(path)),
            "Content-Length": str(len(data)),
            "Cache-Control": "max-age=600",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        return None

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def measure(page: Page, address: str) -> tuple[float, float, float]:
    """Run a block in a fresh browser, another below it, one on a later page, and one after a reload."""
    Host.sent = 0
    page.goto(address + FIRST)
    page.wait_for_load_state("networkidle")
    visit = Host.sent
    cold, blocked = page.evaluate(RUN)
    price = Host.sent - visit
    page.evaluate("document.querySelector('qkv-run').remove()")
    again, _ = page.evaluate(RUN)
    page.evaluate(
        "to => document.body.appendChild(Object.assign(document.createElement('a'), {href: to})).click()",
        address + LATER,
    )
    page.locator("h1", has_text="The causal mask").wait_for()
    later, _ = page.evaluate(RUN)
    page.goto(address + LATER)
    reloaded, _ = page.evaluate(RUN)
    print(
        f"  cold {cold:6.0f} ms ({price / 1e6:.2f} MB)   next block {again:4.0f} ms   later page {later:4.0f} ms"
        f"   reloaded {reloaded:6.0f} ms   page blocked {blocked:4.0f} ms"
    )
    return cold, later, blocked


def main() -> int:
    """Print what was measured; fail beyond the goals."""
    times = int(sys.argv[1]) if len(sys.argv) > 1 else TIMES
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Host, directory=f"{folder}/site"))
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        subprocess.run(
            [sys.executable, "-m", "qkvdocs", "build", "-q", "-d", f"{folder}/site"],
            cwd=ROOT,
            env={**os.environ, "SITE_URL": address},
            check=True,
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = []
        for _ in range(times + 1):
            browser = playwright.chromium.launch(
                executable_path=program, args=["--no-sandbox", "--disable-gpu"]
            )
            found.append(measure(browser.new_page(viewport={"width": 1300, "height": 900}), address))
            browser.close()
        server.shutdown()
    # The first of them also compressed the files.
    cold, later, blocked = (statistics.median(values) for values in zip(*found[1:], strict=True))
    print(f"median: cold {cold:.0f} ms, goal {COLD:g}; later page {later:.0f} ms, goal {WARM:g};", end=" ")
    print(f"page blocked {blocked:.0f} ms, goal {BLOCKED:g}")
    return int(cold > COLD or later > WARM or blocked > BLOCKED)


if __name__ == "__main__":
    sys.exit(main())
