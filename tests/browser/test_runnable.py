"""Code that readers run: what it loads, what it prints, how it ends, and what it leaves alone."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Route, expect

from qkvdocs.engine.pages import fences
from tests.browser.conftest import Host, serve, violations

ROOT = Path(__file__).parents[2]
LESSON = "lessons/02-causal-mask/"
FIGURE = "concepts/projections/"
# The page on the engine tells hosts what to allow.
POLICY = re.search(
    r"^Content-Security-Policy: (.*)$", (ROOT / "docs" / "reference" / "engine.md").read_text("utf-8"), re.M
)[1]
RUN_ALL = """async () => {
    const found = [];
    for (const element of document.querySelectorAll("qkv-run")) {
        element.querySelector("button").click();
        const built = element.output.textContent;
        element.output.textContent = "";
        element.go.click();
        while (!element.halt.hidden) await new Promise((wait) => setTimeout(wait, 5));
        const figure = !!element.closest("qkv-live");
        found.push([built, element.output.textContent, element.status.textContent, figure]);
    }
    return found;
}"""


@contextmanager
def serving(site: Path, policy: str) -> Iterator[str]:
    """Serve the site under a folder as if it had been built for that address, with a policy on every answer."""

    class Guarded(Host):
        """The header."""

        def end_headers(self) -> None:
            self.send_header("Content-Security-Policy", policy)
            super().end_headers()

    with serve(site.parent / "serving", Guarded) as host:
        yield f"{host}under/"


@pytest.fixture(scope="module")
def guarded(fetched: Path, site: Path, address: str) -> Iterator[str]:
    """The published site under the policy that contributors are told."""
    with serving(site, POLICY) as served:
        yield served


@pytest.fixture(scope="module")
def page(browser: Browser, guarded: str) -> Iterator[Page]:
    """One reader, whose Python is loaded anew with each page."""
    reader = browser.new_page(viewport={"width": 1300, "height": 900})
    reader.set_default_timeout(60_000)
    reader.complaints = []
    reader.asked = []
    reader.on("request", lambda request: reader.asked.append(request.url))
    reader.on("console", lambda said: said.type == "error" and reader.complaints.append(said.text))
    reader.on("pageerror", lambda error: reader.complaints.append(str(error)))
    reader.goto(guarded + LESSON)
    yield reader
    reader.close()


def visit(page: Page, path: str) -> None:
    """Go to a page, and unfold what is folded there."""
    page.goto(f"{page.url.partition('/under/')[0]}/under/{path}")
    page.evaluate("document.querySelectorAll('article details').forEach(fold => fold.open = true)")


def edit(page: Page, number: int = 0, code: str | None = None) -> None:
    """Open a block's editor, and write into it."""
    page.locator("qkv-run").nth(number).get_by_role("button").click()
    if code is not None:
        page.locator(".qkv-editor textarea").fill(code)


def run(page: Page, code: str) -> tuple[str, str]:
    """Write code into the open editor and run it; give what is shown, and what is said."""
    page.locator(".qkv-editor textarea").fill(code)
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden(timeout=60_000)
    output = page.locator(".highlight:has(.qkv-editor) + .highlight code, .qkv-editor code")
    return output.text_content() or "", page.locator(".qkv-editor [role=status]").text_content() or ""


def marked() -> dict[str, int]:
    """Count the fences that say so, page by page."""
    found = {}
    for path in sorted((ROOT / "docs").rglob("*.md")):
        count = sum("run" in fence.options for fence in fences(path.read_text("utf-8")))
        if count:
            found[path.relative_to(ROOT / "docs").with_suffix("").as_posix() + "/"] = count
    return found


def test_nothing_is_loaded_before_it_is_asked_for(page: Page, guarded: str) -> None:
    """Neither by the page nor by opening an editor, which says what will come; then all of it from the site itself."""
    page.wait_for_load_state("networkidle")
    edit(page)
    said = page.locator(".qkv-editor [role=status]").text_content()
    assert re.match(r"Loads Python and numpy from this site first, about \d+ MB, once\.", said)
    page.wait_for_timeout(300)
    assert not [url for url in page.asked if "/runtime/" in url]

    assert run(page, "import sys; print(sys.platform)")[0] == "emscripten\n"

    loaded = [url.rpartition("/")[2] for url in page.asked if "/runtime/" in url]
    assert {"qkv-worker.mjs", "pyodide.asm.wasm", "python_stdlib.zip"} < set(loaded)
    assert all(url.startswith((guarded, "data:")) for url in page.asked)
    assert len(loaded) == len(set(loaded))
    page.get_by_role("button", name="Reset").click()


def test_every_block_prints_what_the_build_printed(page: Page, fetched: Path) -> None:
    """Word for word, on every page; one Python serves all blocks of it."""
    starts = len([url for url in page.asked if url.endswith(".wasm")])
    counts = {}
    for path in marked():
        visit(page, path)
        for built, printed, said, figure in page.evaluate(RUN_ALL):
            assert printed if figure else printed == built, f"{path}: {said}"
            assert said.startswith(("Done.", "Ended with ")), path
            counts[path] = counts.get(path, 0) + 1
    assert counts == marked()
    assert sum(counts.values()) > 30
    assert len([url for url in page.asked if url.endswith(".wasm")]) == starts + len(counts)
    assert not page.complaints


def test_the_comparison_would_notice(page: Page) -> None:
    """Were the settings of the build not those of the browser, numbers would be written otherwise."""
    visit(page, LESSON)

    def other(route: Route) -> None:
        blocks = json.loads(route.fetch().text())
        blocks[0]["code"] += "\nimport numpy as np\nnp.set_printoptions(precision=2)"
        route.fulfill(json=blocks)

    page.route("**/runtime/pages/**", other)
    found = page.evaluate(RUN_ALL)
    page.unroute("**/runtime/pages/**")
    assert any(built != printed for built, printed, *_ in found)
    assert any(built == printed for built, printed, *_ in found)


def test_an_edit_changes_the_result_and_reset_brings_the_page_back(page: Page) -> None:
    """What is edited runs after the blocks above it, with their names."""
    visit(page, LESSON)
    before = page.locator("article").inner_html()
    edit(page, 1)
    assert run(page, "print(mask.sum(), np.array([1 / 3]))") == ("6 [0.3333]\n", "Done.")
    page.get_by_role("button", name="Reset").click()
    assert page.locator(".qkv-editor").count() == 0
    assert page.evaluate("document.activeElement.textContent") == "Edit and run"
    tidied = re.compile(r' (?:role="group"|aria-label="Output"|hidden="")')
    assert tidied.sub("", page.locator("article").inner_html()) == tidied.sub("", before)


def test_an_error_is_short_and_names_the_line(page: Page) -> None:
    """In words below the block, and in the line that is read aloud."""
    visit(page, LESSON)
    edit(page, 1)
    shown, said = run(page, "x = np.ones(2)\nprint('so far')\nx @ np.ones(3)")
    assert said == "Ended with ValueError in line 3."
    assert shown.startswith('so far\n  File "this block", line 3, in <module>\n    x @ np.ones(3)\n')
    assert "ValueError: matmul" in shown
    assert len(shown.split("\n")) < 8


def test_what_is_printed_stays_text(page: Page) -> None:
    """Markup in code, in output and in messages is shown, not obeyed."""
    visit(page, LESSON)
    edit(page, 1)
    hostile = "<img src=x onerror='document.title=1'><script>document.title=1</script>"
    shown, _ = run(page, f"print({hostile!r})\nraise ValueError({hostile!r})")
    assert shown.count(hostile) >= 2
    page.get_by_role("button", name="Reset").click()
    assert page.locator("article img[src=x], article code script").count() == 0
    assert page.title() != "1"


def test_a_figure_runs_with_the_readers_numbers(page: Page) -> None:
    """Those of the moment; and not over what the reader has written."""
    visit(page, FIGURE)
    fields = page.locator("qkv-live input")
    fields.nth(0).fill("-1.5")
    edit(page)
    fields.nth(1).fill("4")
    W = np.array([float(field.input_value()) for field in fields.all()[2:6]]).reshape(2, 2)
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.locator(".qkv-editor [role=status]")).to_have_text("Done.", timeout=60_000)
    shown = page.locator(".qkv-editor code").text_content()
    assert np.allclose([float(number) for number in shown.strip(" []\n").split()], np.array([-1.5, 4]) @ W)

    page.locator(".qkv-editor textarea").fill("print('mine')")
    fields.nth(1).fill("5")
    assert page.locator(".qkv-editor textarea").input_value() == "print('mine')"


def test_a_loop_without_end_can_be_stopped(page: Page) -> None:
    """And Python is there again for the next run; so it is when the reader leaves while it runs."""
    visit(page, LESSON)
    edit(page, 1)
    page.locator(".qkv-editor textarea").fill("while True: pass")
    page.locator(".qkv-editor textarea").press("Control+Enter")
    expect(page.locator(".qkv-editor [role=status]")).to_have_text("Running …", timeout=60_000)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".qkv-editor [role=status]")).to_have_text("Stopped.")
    page.locator(".qkv-editor textarea").press("Control+Enter")
    visit(page, FIGURE)
    edit(page)
    assert run(page, "print(1 + 1)") == ("2\n", "Done.")


def test_it_works_by_keyboard_and_shows_no_barrier(browser: Browser, guarded: str) -> None:
    """Focus goes where the eye goes, Tab leaves the editor, axe finds nothing in either scheme; on paper no control."""
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(guarded + LESSON)
        page.locator("qkv-run button").nth(0).focus()
        page.keyboard.press("Enter")
        order = ["textarea", "Run", "Reset"]
        for expected in order:
            here = page.evaluate("[document.activeElement.localName, document.activeElement.textContent]")
            assert expected in here
            page.keyboard.press("Tab")
        page.locator(
            ".highlight:has(.qkv-editor), .highlight:has(.qkv-editor) + *, div:has(> qkv-run)"
        ).evaluate_all("parts => parts.forEach(part => part.setAttribute('data-seen', ''))")
        assert violations(page, "[data-seen]") == []
        page.emulate_media(media="print")
        assert (
            page.locator(
                "qkv-run button:visible, .qkv-editor button:visible, .qkv-editor span:visible"
            ).count()
            == 0
        )
        assert page.locator(".qkv-editor textarea").is_visible()


def test_an_open_editor_fits_a_phone(browser: Browser, guarded: str) -> None:
    """At 360 pixels only the code scrolls."""
    page = browser.new_page(viewport={"width": 360, "height": 740})
    for path in (LESSON, FIGURE):
        page.goto(guarded + path)
        page.evaluate("document.querySelectorAll('article details').forEach(fold => fold.open = true)")
        for button in page.locator("qkv-run button").all():
            button.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_what_is_missing_is_said(browser: Browser, guarded: str, fetched: Path, site: Path) -> None:
    """A file that does not come, a host that forbids; afterwards another try may succeed."""
    page = browser.new_page()
    page.goto(guarded + LESSON)
    edit(page)
    page.route("**/*.wasm", lambda route: route.abort())
    assert run(page, "print(1)")[1].startswith("Python cannot run here")
    page.unroute("**/*.wasm")
    for name in ("qkv-worker.mjs", "pyodide.asm.mjs", "numpy*", "pages/**"):
        page.route(f"**/runtime/{name}", lambda route: route.abort())
        assert run(page, "print(1)")[1].startswith("Python cannot run here"), name
        page.unroute(f"**/runtime/{name}")
    assert run(page, "print(1)") == ("1\n", "Done.")

    with serving(site, POLICY.replace(" 'wasm-unsafe-eval'", "")) as strict:
        page = browser.new_page()
        page.goto(strict + LESSON)
        edit(page)
        assert run(page, "print(1)")[1].startswith("Python cannot run here")
