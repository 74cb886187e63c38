"""Lighthouse's scores for each kind of page. `python benchmarks/lighthouse.py [page …]`.

Lighthouse comes from the npm registry into `.cache/lighthouse`, pinned; it needs node and a Chromium. Scores are of
this machine at this moment: performance is simulated for a slow phone, and a busy machine lowers it.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from qkvdocs.engine.export._browser import program  # noqa: E402
from tests.browser.conftest import serve  # noqa: E402

VERSION = "12.8.2"
CACHE = ROOT / ".cache" / "lighthouse"
PAGES = [
    "", "lessons/04-qkv-projections/", "lessons/05-why-separate-projections/", "concepts/softmax/", "clinic/",
    "clinic/scale/", "wild/gpt2/", "wild/atlas/", "wild/open/", "practice/", "reference/core/",
]  # fmt: skip


def scored(url: str, out: Path) -> dict[str, object]:
    """Run it once."""
    tool = CACHE / "node_modules" / ".bin" / "lighthouse"
    if not tool.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["npm", "install", "--no-fund", "--no-audit", f"lighthouse@{VERSION}"], cwd=CACHE, check=True
        )
    flags = "--headless=new --no-sandbox --disable-gpu --disable-background-networking"
    words = [str(tool), url, "--quiet", "--output=json", f"--output-path={out}", f"--chrome-flags={flags}"]
    subprocess.run(words, check=True, env={**os.environ, "CHROME_PATH": program()})
    return json.loads(out.read_bytes())  # type: ignore[no-any-return]


def main() -> int:
    """Print a line a page, and what cost a point."""
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder, "serving", "under")
        site.parent.mkdir()
        words = [sys.executable, "-m", "qkvdocs", "build", "-q", "-d", str(site)]
        with serve(site.parent) as host:
            address = f"{host}under/"
            subprocess.run(words, cwd=ROOT, check=True, env={**os.environ, "SITE_URL": address})
            for name in sys.argv[1:] or PAGES:
                report = scored(address + name, Path(folder, "report.json"))
                scores = {key: part["score"] for key, part in report["categories"].items()}  # type: ignore[attr-defined]
                print(
                    f"{name or 'index':40}",
                    *(f"{key} {100 * (value or 0):.0f}" for key, value in scores.items()),
                )
                for part in report["categories"].values():  # type: ignore[attr-defined]
                    for audit in part["auditRefs"]:
                        found = report["audits"][audit["id"]]  # type: ignore[index]
                        if audit["weight"] and found["score"] is not None and found["score"] < 1:
                            print(
                                f"    {found['score']:.2f} {found['title']} {found.get('displayValue', '')}"
                            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
