"""Change a number, see the result painted: how long that takes in a browser. `python benchmarks/live.py [edits]`."""

import statistics
import sys
from pathlib import Path

import material

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from qkvdocs.engine.export._browser import chromium  # noqa: E402
from tests.figures.examples import attention, product  # noqa: E402

ASSETS = ROOT / "qkvdocs" / "figures" / "assets"
GOAL = 5.0
EDITS = 200
FIGURES = {"product with axes and code": product, "attention, nine steps": attention}

# From the change of a field, at the start of a frame, until that frame's style, layout and paint are done; a
# message posted meanwhile is handled right after. Starting with the frame leaves out the wait for the display.
MEASURE = """async ([edits, idle]) => {
    const fields = [...document.querySelectorAll("qkv-live input")], times = [];
    for (let i = 0; i < edits; i++) await new Promise((done) => requestAnimationFrame(() => {
        const start = performance.now(), field = fields[i % fields.length];
        if (!idle) { field.value = (i * 37 % 400) / 8 - 25; field.dispatchEvent(new Event("input", {bubbles: true})); }
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => { times.push(performance.now() - start); done(); };
        port2.postMessage(0);
    }));
    return times;
}"""


def show(times: list[float]) -> str:
    """Median, the quiet quarter (on a busy machine the better guide), and what nineteen of twenty keep."""
    twentieths = statistics.quantiles(times, n=20)
    return f"median {twentieths[9]:6.2f} ms   25 % {twentieths[4]:6.2f} ms   95 % {twentieths[18]:6.2f} ms"


def main() -> int:
    """Print what was measured; fail beyond the goal."""
    edits = int(sys.argv[1]) if len(sys.argv) > 1 else EDITS
    theme = next(Path(material.__file__).parent.glob("templates/assets/stylesheets/main.*.css"))
    slow = False
    with chromium() as browser:
        for name, make in FIGURES.items():
            page = browser.new_page(viewport={"width": 1220, "height": 900})
            page.set_content(f"<!doctype html><article class='md-typeset'>{make()}</article>")
            for sheet in (theme, ASSETS / "qkv.css"):
                page.add_style_tag(content=sheet.read_text("utf-8"))
            page.add_script_tag(content=(ASSETS / "qkv-live.js").read_text("utf-8"))
            page.evaluate(MEASURE, [20, False])  # warm
            idle, edited = page.evaluate(MEASURE, [edits, True]), page.evaluate(MEASURE, [edits, False])
            ratio = statistics.median(edited) / max(statistics.median(idle), 0.01)
            print(f"{name}\n  edit to painted frame  {show(edited)}\n  empty frame            {show(idle)}")
            print(f"  ratio {ratio:.0f}, goal {GOAL:g} ms")
            slow |= statistics.median(edited) > GOAL
            page.close()
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
