"""The site in Firefox and WebKit: the same questions, asked of each engine by its own pointer and keys.

Of Chromium, all other tests here ask them.
"""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qkvdocs.wild import Opened
from tests.browser.engines import CONTROL, STARTS, Elsewhere, Engine
from tests.browser.test_ask import ANIMAL
from tests.browser.test_every_page import KINDS, WORDS
from tests.browser.test_runnable import FIGURE, LESSON, RUN_ALL
from tests.conftest import absent
from tests.figures.test_reader import MARKED
from tests.wild.conftest import FIXTURES

# Each formula that is shown, measured: what must stand above, below, beside or around something does.
FORMULAS = """
    await document.fonts.ready;
    document.querySelectorAll("details").forEach(fold => { fold.open = true; });
    const box = e => e.getBoundingClientRect(), middle = e => (box(e).top + box(e).bottom) / 2, faults = [];
    let count = 0;
    const must = (e, holds) => { count++; if (!holds) faults.push(e.outerHTML.slice(0, 200)); };
    for (const math of document.querySelectorAll("article math")) {
        if (!math.checkVisibility()) continue;
        must(math, box(math).width > 3 && box(math).height > 5);
        for (const e of math.querySelectorAll("mfrac, msup, msub, msubsup, mover, munder, msqrt, mtable, mo")) {
            const [a, b, c] = e.children;
            if (e.localName === "mfrac") must(e, box(a).bottom <= box(b).top + 1);
            if (e.matches("msup, mover")) must(e, middle(b) < middle(a));
            if (e.matches("msub, munder")) must(e, middle(b) > middle(a));
            if (e.localName === "msubsup") must(e, middle(b) > middle(a) && middle(c) < middle(a));
            if (e.localName === "msqrt") must(e, box(e).width > box(a).width + 4 && box(e).top < box(a).top);
            if (e.localName === "mtable") {
                const rows = [...e.children];
                rows.slice(1).forEach((row, i) => must(e, box(rows[i]).bottom <= box(row).top + 1));
                for (const row of rows) {
                    const cells = [...row.children];
                    cells.slice(1).forEach((cell, i) => must(e, box(cells[i]).right <= box(cell).left + 1));
                }
            }
            // A bracket grows with what it holds.
            const held = e.localName === "mo" && /^[([{]$/.test(e.textContent) && e.nextElementSibling;
            if (held && held.querySelector("mtable")) must(e, box(e).height > 0.8 * box(held).height);
        }
    }
    return [count, faults];"""
# The page that opens a checkpoint reads one of its own at once. WebKit complains if it is left meanwhile, and a frame
# that is taken away then stops it.
SETTLED = """async page => {
    const drawn = () => [...page.querySelectorAll("canvas")].filter(({ width }) => width !== 300);
    while (page.querySelector("#wild-open") && drawn().length < 2) await new Promise(go => setTimeout(go, 30));
}"""
# A page in a frame of a telephone's width, or without scripts; the page around it is a text of the site.
FRAME = f"""
    const [url, scripts] = given, frame = document.createElement("iframe");
    if (!scripts) frame.sandbox = "allow-same-origin";
    Object.assign(frame.style, {{ width: "360px", height: "740px", border: 0, display: "block" }});
    await new Promise(done => {{
        frame.onload = done;
        frame.src = url;
        document.body.replaceChildren(frame);
    }});
    window.inner = frame.contentDocument;
    await inner.fonts.ready;
    if (scripts) await ({SETTLED})(inner);
    return inner.documentElement.scrollWidth;"""
PRINTED = {
    "": ("Which word are they?", "Start anywhere"),
    "about/": ("Where it was tried", "seen 2026"),
    FIGURE: ("y_0 = 2·1 + 3·0 = 2", "y_1 = 2·10 + 3·(-1) = 17"),
    "clinic/scale/": ("Wrong and right", "Where it happened"),
    "wild/gpt2/": ("c_attn",),
    "wild/open/": ("Open your own checkpoint",),
    "reference/errors/": ("ShapeError",),
    LESSON: ("hid the wrong half.",),
}
"""A page of each kind, and words that are on its paper."""


@pytest.fixture(scope="module", params=STARTS)
def started(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Engine, Elsewhere]]:
    """One browser for all tests of an engine, and its way to all other hosts."""
    name = request.param
    with contextlib.ExitStack() as stack:
        elsewhere = stack.enter_context(Elsewhere())
        threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
        stack.callback(elsewhere.shutdown)
        start = STARTS[name](tmp_path_factory.mktemp(name), elsewhere.server_port)
        try:
            yield stack.enter_context(start), elsewhere
        except LookupError as missing:
            absent(str(missing))


@pytest.fixture
def elsewhere(started: tuple[Engine, Elsewhere]) -> Elsewhere:
    """All other hosts."""
    return started[1]


@pytest.fixture
def engine(started: tuple[Engine, Elsewhere]) -> Iterator[Engine]:
    """The browser; whatever a test did, nobody else was asked for anything, and nothing was complained about."""
    engine, elsewhere = started
    forget(*started)
    yield engine
    assert elsewhere.foreign() == []
    assert engine.heard() == []


def forget(engine: Engine, elsewhere: Elsewhere) -> None:
    """Begin anew to listen."""
    elsewhere.asked.clear()
    engine.heard()


@pytest.fixture
def around(engine: Engine, address: str) -> Engine:
    """The browser with a text of the site open, in which pages can be framed."""
    engine.open(f"{address}llms.txt")
    return engine


def test_every_page(engine: Engine, addresses: list[str], elsewhere: Elsewhere) -> None:
    """No complaint, no request elsewhere, and each formula is laid out."""
    measured, faults = 0, {}
    for url in addresses:
        engine.open(url)
        engine.run(f"await ({SETTLED})(document)")
        count, wrong = engine.run(FORMULAS)
        measured += count
        if said := [*wrong, *engine.heard(), *elsewhere.foreign()]:
            faults[url] = said
    assert faults == {}
    assert measured > 400


def test_every_page_fits_a_telephone(around: Engine, addresses: list[str]) -> None:
    """At 360 pixels nothing but what has a box of its own scrolls sideways."""
    wide = {url: width for url in addresses if (width := around.run(FRAME, url, True)) > 360}
    assert wide == {}


def test_what_is_wrong_would_be_noticed(started: tuple[Engine, Elsewhere], address: str) -> None:
    """A complaint, a request, a formula that lies flat, a page that is too wide."""
    engine, elsewhere = started
    engine.open(f"{address}{LESSON}")
    forget(*started)
    engine.run("document.body.insertAdjacentHTML('beforeend', '<img src=https://example.org/x.png>')")
    engine.until("return !document.images[document.images.length - 1].complete || 1")
    assert engine.heard()
    engine.run("for (const e of document.querySelectorAll('math, math *')) e.style.display = 'inline'")
    count, faults = engine.run(FORMULAS)
    assert 0 < len(faults) < count
    engine.open(f"{address}llms.txt")
    engine.run("await fetch('http://example.org/asked').catch(() => 0)")
    assert any("example.org" in one for one in elsewhere.foreign())
    engine.run(FRAME, f"{address}{LESSON}", True)
    engine.run("inner.querySelector('article').style.width = '900px'")
    assert engine.run("return inner.documentElement.scrollWidth") > 360
    forget(*started)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_without_scripts_every_word_is_there(around: Engine, address: str, name: str) -> None:
    """In a frame that allows none: the words of the source, figures with a size, and what is said instead."""
    around.run(FRAME, address + name + "/" * (name != "" and not name.endswith("/")), False)
    shown = around.run(
        f"""const words = {WORDS};
        window.built = new DOMParser().parseFromString(await (await fetch(inner.location.href)).text(), "text/html");
        const figures = [...inner.querySelectorAll(".qkv")].map(e => e.getBoundingClientRect());
        const unsaid = [...inner.querySelectorAll("noscript")].filter(e => e.textContent.trim() && !e.children.length);
        return {{ same: words("inner") === words("built"), long: words("inner").length,
            still: inner.documentElement.className, unsaid: unsaid.length,
            flat: figures.filter(({{ width, height }}) => width < 50 || height < 10).length }};"""
    )
    assert shown.pop("long") > 100
    assert shown == {"same": True, "still": "no-js", "flat": 0, "unsaid": 0}
    assert [said for said in around.heard() if "Blocked script execution" not in said] == []


@pytest.mark.parametrize("name", PRINTED)
def test_paper(engine: Engine, address: str, name: str) -> None:
    """Its words and all sums are there, its controls are not."""
    paper = engine.printed(address + name)
    for words in PRINTED[name]:
        assert words in paper
    for control in ("Copy link", "Reset", "Edit and run", "Change any number"):
        assert control not in paper


def test_a_figure_explains_and_follows(engine: Engine, address: str) -> None:
    """A click on an entry says what it is made of; typed numbers reach results, sums, drawing and address."""
    engine.open(address + FIGURE)
    seen = """return [...document.querySelectorAll("#live-product .qkv-why")]
        .filter(e => e.checkVisibility({ visibilityProperty: true })).map(e => e.textContent)"""
    assert engine.run(seen) == []
    engine.click("#live-product .out td", "17")
    assert engine.run(seen) == ["y_1 = 2·10 + 3·(-1) = 17"]
    marked = f"return ({MARKED})(document.getElementById('live-product')).sort()"
    assert engine.run(marked) == ["W01", "W11", "x00", "x01", "y01"]
    drawn = "return document.querySelector('#live-product svg').innerHTML"
    before = engine.run(drawn)
    engine.type("#live-product input[aria-label=x_0]", "-4")
    assert [engine.text(f"#live-product .out td:nth-child({at}) b") for at in (1, 2)] == ["-4", "-43"]
    assert engine.text("#live-product .qkv-sums li") == "y_0 = (-4)·1 + 3·0 = -4"
    assert engine.run(drawn) != before
    engine.until("return location.search.includes('my-x=-4_3')")
    assert engine.text("#live-product [role=status]") == "y = [-4, -43]"
    engine.click("#live-product button", "Reset")
    assert engine.text("#live-product .out b") == "2"


def test_a_word_of_the_first_figure_asks(engine: Engine, address: str) -> None:
    """A click picks a word, and what is shown is another word's."""
    engine.open(address)
    shown = "return document.querySelector('.qkv-consult').innerText"
    before = engine.run(shown)
    engine.click(".qkv-consult label:not(:has(:checked))")
    assert engine.run("return document.querySelector('.qkv-consult label:has(:checked)').matches(':hover')")
    assert engine.run(shown) != before


def test_an_exercise_judges(engine: Engine, address: str) -> None:
    """A wrong answer is named and its field marked; the right one, which the element knows, is accepted."""
    engine.open(f"{address}lessons/04-qkv-projections/")
    engine.run("document.querySelector('#practice').scrollIntoView()")
    engine.until("return !!customElements.get('qkv-practice')")
    right = engine.run("""const fields = [...document.querySelectorAll("#practice .asked input")];
        fields.forEach((field, at) => { field.id = `asked-${at}`; });
        return document.querySelector("#practice").known[0][2].flat()""")
    marks = """const one = document.querySelector("#practice");
        return [one.hasAttribute("data-right"), one.querySelectorAll("[aria-invalid=true]").length]"""
    for off, verdict, marked in ((1, "Not right: ", [False, len(right)]), (0, "All right.", [True, 0])):
        for at, value in enumerate(right):
            engine.type(f"#asked-{at}", f"{value + off:.3f}")
        engine.click("#practice button", "Check")
        assert engine.text("#practice .qkv-verdict").startswith(verdict)
        assert engine.run(marks) == marked


def test_the_search_finds_and_leads(engine: Engine, address: str) -> None:
    """Letters typed find the lesson; a click goes there."""
    engine.open(address)
    engine.type(".find input", "parallel graders")
    engine.until("return document.querySelector('.found a') !== null")
    engine.click(".found a[href*='04-qkv-projections']")
    engine.until("return location.pathname.includes('04-qkv-projections')")


def test_light_and_dark(engine: Engine, address: str) -> None:
    """The switch turns colours, on the next page too; turned back, nothing is kept."""
    engine.open(address)
    shades = """return [document.body, document.querySelector("article p")].map(e => getComputedStyle(e))
        .flatMap((style, at) => at ? style.color : style.backgroundColor)"""
    light = engine.run(shades)
    engine.click(".scheme")
    dark = engine.run(shades)
    assert not {*light} & {*dark}
    engine.open(f"{address}about/")
    assert engine.run(shades)[0] == dark[0]
    engine.click(".scheme")
    assert engine.run(shades)[0] == light[0]
    assert engine.run("return localStorage.length") == 0


def test_a_link_carries_the_numbers(engine: Engine, address: str) -> None:
    """It is copied, as pasting shows; who follows it finds the numbers."""
    engine.open(address)
    engine.type("#live-home input", "5")
    engine.click("#live-home .share")
    engine.until("return document.querySelector('.told').textContent.includes('Link copied')")
    link = engine.run("return location.href")
    assert link.endswith("#live-home")
    assert "my-x=5_" in link
    engine.type(".find input", f"{CONTROL}v")
    assert engine.run("return document.querySelector('.find input').value") == link
    engine.open(f"{address}about/")
    engine.open(link)
    engine.until("return document.querySelector('#live-home input')?.value === '5'")
    engine.until("return scrollY > 100")


def test_code_runs(engine: Engine, address: str, fetched: Path) -> None:
    """Every block of a page prints what the build printed; one that a reader types runs too."""
    engine.open(address + LESSON)
    found = engine.run(f"return await ({RUN_ALL})()")
    assert len(found) > 2
    assert [printed for _, printed, *_ in found] == [built for built, *_ in found]
    engine.type(".qkv-editor textarea", "import sys; print(sys.platform, 6 * 7)")
    engine.click(".qkv-editor button", "Run")
    engine.until(
        "return document.querySelector('article').textContent.includes('emscripten 42')", seconds=120
    )


def test_a_sentence_is_asked(engine: Engine, address: str, packed: Path) -> None:
    """The model in the page says of a recorded sentence what is recorded."""
    engine.open(f"{address}ask/")
    engine.type("[name=sentence]", ANIMAL)
    engine.click("button", "finds what a pronoun refers to")
    engine.click("button", "Ask the model")
    said = "return [...document.querySelectorAll('.ask-status')].map(e => e.textContent).join('')"
    engine.until(f"{said}.startsWith('Layer 3, head 1: ')", seconds=120)
    engine.until("""const labels = [...document.querySelectorAll(".ask-figure label")];
        const it = labels.find(one => one.innerText.trim() === "it");
        if (it) it.dataset.pick = 1;
        return Boolean(it)""")
    engine.click("label[data-pick]")
    it = "Layer 3, head 1: “it” listens most to “animal”, with a share of 0.65."
    engine.until(f"{said} === '{it}'", seconds=120)


def test_a_checkpoint_is_opened(engine: Engine, address: str) -> None:
    """The command answers for chosen files, and each tensor of a module is drawn in many shades."""
    engine.open(f"{address}wild/open/")
    engine.run(f"await ({SETTLED})(document)")
    files = [FIXTURES / "llama" / name for name in ("config.json", "model.safetensors")]
    engine.choose("#wild-open [name=files]", *files)
    engine.until(
        """return document.querySelector("#wild-open [role=status]").textContent === "The answer:" """,
        seconds=120,
    )
    assert engine.text(".wild-answer") == Opened(files[1]).text
    engine.until("""const all = [...document.querySelectorAll("canvas")], shades = e =>
        new Set(new Uint32Array(e.getContext("2d").getImageData(0, 0, e.width, e.height).data.buffer)).size;
        return all.length > 1 && all.every(e => shades(e) > 3)""")
