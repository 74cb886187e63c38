"""Everybody reaches everything: by keyboard, by ear, in any colours."""

import re

import pytest
from playwright.sync_api import Browser, Page

# What Tab should stop at: visible, enabled, of radio buttons the chosen one.
STOPS = """() => {
    const all = "a[href], button, input, select, textarea, summary, [tabindex]";
    const open = e => e.checkVisibility({ visibilityProperty: true }) && e.getClientRects().length;
    const wanted = [...document.querySelectorAll(all)].filter(e => e.tabIndex >= 0 && !e.disabled && open(e)
        && !(e.type === "radio" && !e.checked));
    wanted.forEach((e, i) => e.dataset.stop = i);
    return wanted.map(e => e.outerHTML.slice(0, 100));
}"""
HERE = """() => {
    const e = document.activeElement, look = getComputedStyle(e), near = getComputedStyle(e.nextElementSibling ?? e);
    const outlined = look.outlineStyle !== "none" && parseFloat(look.outlineWidth) > 0;
    return [e === document.body, e.dataset.stop ?? null, outlined || look.boxShadow !== "none"
        || near.outlineStyle !== "none" || e.matches(":focus-visible, .focus-visible")];
}"""
# The contrast of what is drawn as SVG, which axe does not look at: letters, and lines that mean something.
# Colours are painted on a canvas to be read in one form; what lies below a letter is found by asking the browser.
CONTRAST = """() => {
    const pen = Object.assign(document.createElement("canvas"), { width: 1, height: 1 })
        .getContext("2d", { willReadFrequently: true });
    const read = (colour, below) => {
        pen.globalAlpha = 1;
        pen.fillStyle = `rgb(${below})`; pen.fillRect(0, 0, 1, 1);
        pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1);
        return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const light = colour => colour.map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const ratio = (a, b) => {
        const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
        return (x + 0.05) / (y + 0.05);
    };
    const page = read(getComputedStyle(document.body).backgroundColor, [255, 255, 255]);
    const under = (x, y, self) => {
        const stack = document.elementsFromPoint(x, y), at = stack.indexOf(self);
        let colour = page;
        for (const e of stack.slice(at + 1).reverse()) {
            const look = getComputedStyle(e), shape = e instanceof SVGGeometryElement;
            if (shape && look.fill !== "none" && +look.fillOpacity === 1) colour = read(look.fill, colour);
            else if (!(e instanceof SVGElement)) colour = read(look.backgroundColor, colour);
        }
        return colour;
    };
    const poor = [];
    for (const text of document.querySelectorAll("article svg text")) {
        if (!text.textContent.trim() || !text.checkVisibility({ visibilityProperty: true })) continue;
        text.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
        const { left, top, width, height } = text.getBoundingClientRect();
        const below = under(left + width / 2, top + height / 2, text);
        const found = ratio(read(getComputedStyle(text).fill, below), below);
        if (found < 4.5) poor.push(`${text.textContent.trim()}: ${found.toFixed(2)}`);
    }
    for (const line of document.querySelectorAll("article svg :is(path, line, polyline)")) {
        const look = getComputedStyle(line);
        if (look.stroke === "none" || +look.strokeOpacity < 1) continue;
        if (line.closest("[class^=ticks], .axes, defs, a")) continue; // what helps the eye along, and icons
        const found = ratio(read(look.stroke, page), page);
        if (found < 3) poor.push(`${line.outerHTML.slice(0, 80)}: ${found.toFixed(2)}`);
    }
    return poor;
}"""
DRAWN = [
    "lessons/00-eli5/", "lessons/01-opening-failure/", "lessons/04-qkv-projections/",
    "lessons/05-why-separate-projections/", "concepts/projections/", "concepts/heads/", "wild/gpt2/",
    "reference/figures/",
]  # fmt: skip
COLOURS = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "forced": {"forced_colors": "active"},
}


def walk(page: Page) -> tuple[set[int], list[str]]:
    """Press Tab until it leaves the page; tell where it stopped and where nothing showed it."""
    stops, seen, unmarked = page.evaluate(STOPS), set(), []
    for _ in range(3 * len(stops) + 20):
        page.keyboard.press("Tab")
        left, at, marked = page.evaluate(HERE)
        if left and seen:
            break
        if at is not None:
            if int(at) in seen:
                break
            seen.add(int(at))
            if not marked:
                unmarked.append(stops[int(at)])
    return seen, unmarked


@pytest.mark.parametrize("name", ["", "lessons/04-qkv-projections/", "practice/", "wild/open/"])
def test_the_keyboard_reaches_everything(browser: Browser, address: str, name: str) -> None:
    """Tab stops at each control and link that is visible, in turn, and shows where it is."""
    page = browser.new_page(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    page.goto(address + name)
    page.wait_for_load_state("networkidle")
    stops = page.evaluate(STOPS)
    seen, unmarked = walk(page)
    assert [stop for at, stop in enumerate(stops) if at not in seen] == []
    assert unmarked == []


def test_what_the_keyboard_misses_would_be_seen(browser: Browser, address: str) -> None:
    """A control that swallows Tab leaves the rest unreached."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    page.locator("article a:not(.headerlink)").first.evaluate(
        "e => e.addEventListener('keydown', event => event.key === 'Tab' && event.preventDefault())"
    )
    seen, _ = walk(page)
    assert len(seen) < len(page.evaluate(STOPS))


@pytest.mark.parametrize("name", DRAWN)
def test_each_figure_is_heard_once(browser: Browser, address: str, name: str) -> None:
    """Folded, a figure's words are silent; unfolded, each line stands once in the accessibility tree."""
    page = browser.new_page()
    page.goto(address + name)
    for figure in page.locator("article :is(.qkv:not(.qkv .qkv), .diagram)").all():
        twins = figure.locator("details li")
        lines = [re.sub(r"\s+", " ", text).strip() for text in twins.all_text_contents()]
        flat = re.sub(r"\s+", " ", figure.aria_snapshot())
        assert not [line for line in lines if f"listitem: {line}" in flat]
        figure.locator("details").evaluate_all("all => all.forEach(e => { e.open = true; })")
        heard = re.findall(
            r'listitem(?:: "?| ")(.*?)"? (?=- |$)', re.sub(r"\s+", " ", figure.aria_snapshot())
        )
        said = [re.sub(r"\W", "", line) for line in heard]
        for line in lines:
            bare = re.sub(r"\W", "", line)
            assert said.count(bare) <= max(1, lines.count(line)), line


@pytest.mark.parametrize("colours", COLOURS)
def test_drawings_have_contrast(browser: Browser, address: str, colours: str) -> None:
    """Letters 4.5 to 1 against what lies below them, lines 3 to 1 against the page."""
    page = browser.new_page(bypass_csp=True, viewport={"width": 1280, "height": 900}, **COLOURS[colours])
    poor = {}
    for name in DRAWN:
        page.goto(address + name)
        page.evaluate("document.fonts.ready")
        if found := page.evaluate(CONTRAST):
            poor[name] = found
    assert poor == {}


def test_poor_contrast_would_be_seen(browser: Browser, address: str) -> None:
    """One grey letter on grey."""
    page = browser.new_page(bypass_csp=True)
    page.goto(f"{address}lessons/04-qkv-projections/")
    page.evaluate("document.querySelector('article svg text').style.fill = '#ddd'")
    assert len(page.evaluate(CONTRAST)) == 1
