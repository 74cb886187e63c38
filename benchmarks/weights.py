"""What a first visit to each page weighs, compressed, in a real browser. `python benchmarks/weights.py`."""

import gzip
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tests.browser.conftest import serve  # noqa: E402
from tests.browser.test_published import BUDGET, visit  # noqa: E402
from tests.conftest import ARGUMENTS, chromium  # noqa: E402

KINDS = {".css": "style", ".js": "script", ".mjs": "script", ".woff2": "font", "": "page"}


def main() -> int:
    """Print a line a page; fail if a lesson is above its budget."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = Path(folder, "site")
        subprocess.run(
            [sys.executable, "-m", "qkvdocs", "build", "-q", "-d", str(site)], cwd=ROOT, check=True
        )
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        pages = [path.parent.relative_to(site).as_posix() for path in sorted(site.rglob("index.html"))]
        heaviest = 0
        print(f"{'page':42}{'page':>8}{'style':>8}{'script':>8}{'font':>8}{'other':>8}{'all':>9}   bytes")
        Path(folder, "serving").mkdir()
        Path(folder, "serving", "under").symlink_to(site)
        with serve(Path(folder, "serving")) as host:
            for page in pages:
                name = "" if page == "." else f"{page}/"
                kinds: Counter[str] = Counter()
                for path, weight in visit(browser, f"{host}under/{name}", site).items():
                    kinds[KINDS.get(Path(path).suffix, "other")] += weight
                total = sum(kinds.values())
                parts = "".join(f"{kinds[kind]:8}" for kind in ("page", "style", "script", "font", "other"))
                print(f"{page:42}{parts}{total:9}")
                heaviest = max(heaviest, total if page.startswith("lessons/") else 0)
        browser.close()
        extra = len(gzip.compress((site / "search" / "index.json").read_bytes(), 6))
        print(f"search, when somebody searches: {extra} bytes; site on disk: ", end="")
        print(f"{sum(path.stat().st_size for path in site.rglob('*') if path.is_file()) / 1e6:.1f} MB")
    print(f"heaviest lesson {heaviest} bytes, budget {BUDGET}: ratio {heaviest / BUDGET:.2f}")
    return heaviest > BUDGET


if __name__ == "__main__":
    sys.exit(main())
