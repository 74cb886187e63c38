"""What a reader does with the published site: scheme, search, fonts, keys."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from qkvdocs.clinic import BUGS
from tests.browser.conftest import serve


def background(page: Page) -> str:
    """Tell the colour behind the text."""
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_the_scheme_follows_the_system_and_the_toggle(browser: Browser, addresses: list[str]) -> None:
    """Light and dark by the reader's system; the switch overrides it."""
    shades = {}
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(addresses[0])
        shades[scheme] = background(page)
        if scheme == "light":
            page.locator(".scheme").click()
            assert background(page) != shades["light"]
            page.goto(addresses[1])
            assert background(page) != shades["light"]
            page.locator(".scheme").click()  # as the system has it: nothing is kept
            assert page.evaluate("localStorage.length") == 0
    assert shades["light"] != shades["dark"]


def test_a_search_without_its_index_says_so(browser: Browser, address: str) -> None:
    """And asks for it again with the next letter."""
    page = browser.new_page(viewport={"width": 1300, "height": 800})
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.route("**/search/index.json", lambda route: route.abort())
    page.goto(address)
    page.locator(".find input").fill("graders")
    page.locator(".found", has_text="The index did not come").wait_for()
    page.unroute("**/search/index.json")
    page.locator(".find input").fill("parallel graders")
    page.wait_for_selector(".found a")
    assert problems == []


def test_the_practice_page_is_filtered(browser: Browser, address: str) -> None:
    """By words and by kind, reached by a click; a heading that holds nothing goes too, and nothing found is said."""
    page = browser.new_page(viewport={"width": 1300, "height": 900})
    page.goto(f"{address}about/")
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('a'), {href: '../practice/', id: 'go'}))"
    )
    page.locator("#go").evaluate("link => link.click()")
    page.wait_for_selector(".practice-filter:not([hidden])")
    cards = page.locator(".practice-card")
    texts = [text.lower() for text in cards.all_text_contents()]
    titles = page.locator("article h2").count()

    def seen() -> list[int]:
        return [at for at, card in enumerate(cards.all()) if card.evaluate("card => !card.hidden")]

    assert seen() == list(range(len(texts)))
    page.locator("#practice-find").fill("Mask zero")
    found = [at for at, text in enumerate(texts) if "mask" in text and "zero" in text]
    assert 0 < len(found) < len(texts)
    assert seen() == found
    assert page.locator("#practice-count").inner_text() == f"{len(found)} of {len(texts)}"
    over = page.locator(".practice-card:not([hidden])").evaluate_all(
        "cards => new Set(cards.map(e => { while (e.tagName !== 'H2') e = e.previousElementSibling; return e; })).size"
    )
    assert page.locator("article h2:visible").count() == over < titles
    page.locator("#practice-find").fill("zzz")
    assert seen() == []
    assert page.locator("article h2:visible").count() == 0
    assert page.locator("#practice-count").inner_text() == "Nothing has these words."
    page.locator("#practice-find").fill("")
    page.locator("[value=recall]").uncheck()
    kinds = page.locator(".practice-card:not([hidden])").evaluate_all("all => all.map(e => e.dataset.kind)")
    assert set(kinds) == {"interview", "exercise"}


def test_a_citation_shows_its_date_where_nothing_can_hover(browser: Browser, address: str) -> None:
    """On paper and on a telephone; with a mouse it is in the title only."""
    after = "getComputedStyle(document.querySelector('.cited'), '::after').content"
    desk, telephone = browser.new_page(), browser.new_page(has_touch=True, is_mobile=True)
    for page in (desk, telephone):
        page.goto(f"{address}about/")

    assert desk.evaluate(after) == "none"
    assert "seen 20" in telephone.evaluate(after)
    desk.emulate_media(media="print")
    assert "seen 20" in desk.evaluate(after)


def test_a_line_has_about_seventy_letters(browser: Browser, address: str) -> None:
    """Text at its full width, on a screen that is wide enough; figures may be wider."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    for name in ("lessons/02-causal-mask/", "concepts/softmax/"):
        page.goto(address + name)
        page.evaluate("document.fonts.ready")
        lengths = page.evaluate("""() => [...document.querySelectorAll("article > p:not([class])")].flatMap(p => {
            const lines = Math.round(p.clientHeight / parseFloat(getComputedStyle(p).lineHeight));
            return lines > 2 && !p.querySelector("math, code, svg") ? [p.textContent.length / (lines - 0.4)] : [];
        })""")
        assert lengths
        assert 60 <= sum(lengths) / len(lengths) <= 78
        widths = page.evaluate(
            """["article > p", "article"].map(one => document.querySelector(one).clientWidth)"""
        )
        assert widths[0] < widths[1]


def test_what_a_finger_meets_is_large_enough(browser: Browser, address: str) -> None:
    """At least 32 pixels high: controls on a telephone; not links among words, nor numbers in matrices."""
    page = browser.new_page(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    small = """() => [...document.querySelectorAll(`.top :is(a, button, label, input),
            article :is(summary, button, select, input[type=search])`)]
        .filter(e => e.checkVisibility({ visibilityProperty: true }) && e.getClientRects().length)
        .filter(e => Math.max(e.offsetHeight, e.closest("label")?.offsetHeight ?? 0) < 31.5 && !e.closest("th, .qkv-m"))
        .map(e => e.outerHTML.slice(0, 90))"""
    for name in ("", "practice/", "wild/atlas/", "wild/open/", "clinic/", "concepts/softmax/"):
        page.goto(address + name)
        assert page.evaluate(small) == [], name


def test_a_wrong_address_offers_search_and_three_doors(browser: Browser, site: Path) -> None:
    """Each door leads somewhere; the search finds."""
    page = browser.new_page()
    with serve(site) as host:
        page.goto(f"{host}404.html")
        doors = page.locator(".doors a").evaluate_all("all => all.map(a => a.href)")
        assert len(doors) == 3
        page.locator(".wide input").fill("rotary")
        page.locator(".wide .found a").first.click()
        page.wait_for_url("**/*rotary*/**")
        for door in doors:
            answer = page.goto(door)
            assert answer
            assert answer.ok, door
        unscripted = browser.new_context(java_script_enabled=False).new_page()
        unscripted.goto(f"{host}404.html")
        assert unscripted.locator(".doors").is_visible()
        assert not unscripted.get_by_text("Search").first.is_visible()
        unscripted.context.close()


def test_a_link_to_a_place_is_copied_and_said(browser: Browser, address: str) -> None:
    """Of a heading and of a figure with its numbers; who follows it arrives there."""
    page = browser.new_page(permissions=["clipboard-read", "clipboard-write"])
    page.goto(address)
    page.locator("#live-home input").first.fill("5")
    page.locator("#live-home .share").click()
    page.locator(".told:has-text('Link copied')").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == page.url
    assert link.endswith("#live-home")
    assert "my-x=5_" in link
    page.goto(f"{address}about/")
    page.goto(link)
    assert page.locator("#live-home input").first.input_value() == "5"
    assert page.evaluate("scrollY") > 100
    page.locator("#worked .headerlink").click()
    page.wait_for_function("location.hash === '#worked'")
    assert page.evaluate("navigator.clipboard.readText()").endswith("#worked")


def test_the_atlas_counts_what_it_finds(browser: Browser, address: str) -> None:
    """And says so where nothing has the words; its head stays in view, and no row is wider than a telephone."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"{address}wild/atlas/")
    field, said = page.locator("[data-grid=variants]"), page.locator(".grid-filter p").first
    rows = page.locator("#variants tbody tr").count()
    assert said.inner_text() == f"{rows} of {rows}"
    field.fill("qwen moe")
    left = page.locator("#variants tbody tr:visible")
    assert said.inner_text() == f"{left.count()} of {rows}"
    assert all("qwen" in text and "moe" in text for text in left.all_inner_texts())
    field.fill("zzz")
    assert said.inner_text().startswith("Nothing has these words")
    field.fill("")
    page.evaluate("scrollTo(0, 4000)")
    assert page.locator("#variants th").first.bounding_box()["y"] < 80  # type: ignore[index]
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.querySelector('#variants').scrollWidth") <= 360


def test_the_search_reads_prose(site: Path) -> None:
    """No formula stands twice, as drawn and as typed, and no numbers of a drawing."""
    texts = [words for _, _, words in json.loads((site / "search" / "index.json").read_text())]
    words = " ".join(
        re.sub(r"<pre>.*?</pre>|<code>.*?</code>|<[^>]+>", " ", text, flags=re.S) for text in texts
    )
    assert "W_Q" in words
    assert not re.findall(r"WQW_Q|exe\^x|\\(?:frac|sqrt|top|bar)\b", words)
    assert not re.findall(r"(?:\d+\.\d+){3}", words)


def test_a_right_answer_looks_like_one(browser: Browser, address: str) -> None:
    """A whole frame and a mark; while one entry is wrong or missing, a broken line."""
    page = browser.new_page()
    page.goto(f"{address}lessons/04-qkv-projections/")
    look = """says => {
        const exercise = document.querySelector("qkv-practice"), verdict = exercise.querySelector(".qkv-verdict");
        exercise.querySelectorAll(".asked input").forEach((field, at) => field.ariaInvalid = says[Math.min(at, 1)]);
        verdict.textContent = "What is said of it.";
        const mark = getComputedStyle(verdict, "::before").content;
        return [getComputedStyle(verdict).borderRightStyle, mark.includes("✓")];
    }"""
    page.locator("qkv-practice").first.scroll_into_view_if_needed()
    page.wait_for_selector("qkv-practice:defined .asked input", state="attached")
    assert page.evaluate(look, [False, False]) == ["solid", True]
    for says in ([True, False], [False, True], [None, False]):
        assert page.evaluate(look, says) == ["none", False], says


@pytest.mark.parametrize("size", [(1280, 720), (360, 740)])
def test_the_first_page_answers_its_question_at_once(
    browser: Browser, address: str, size: tuple[int, int]
) -> None:
    """What the site is, in two words, and the figure's every row, without scrolling."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.goto(address)
    page.evaluate("document.fonts.ready")
    said = page.locator("article > p").first
    assert all(word in said.inner_text() for word in ("transformer", "language model"))
    bottoms = page.locator(".qkv-consult label").evaluate_all(
        "all => all.map(e => e.getBoundingClientRect().bottom)"
    )
    assert len(bottoms) > 5
    assert max(bottoms) <= size[1]
    assert page.locator(".doors > li pre").count() == 3


def test_each_bug_stands_beside_the_right_thing(site: Path) -> None:
    """As two pictures that differ, in two frames that do, whatever the colours."""
    text = (site / "clinic" / "index.html").read_text("utf-8")
    pairs = re.findall(r'<svg class="wrong"(.*?)</svg><svg class="?right"?(.*?)</svg>', text)
    assert len(pairs) == len(BUGS)
    assert not [wrong for wrong, right in pairs if wrong == right]
    style = (site / "assets" / "style.css").read_text("utf-8")
    assert re.search(r"\.bugs svg\{[^}]*border:\s*1px solid", style)
    assert re.search(r"\.bugs svg\.wrong\{border:\s*2px dashed", style)


def test_what_scrolls_sideways_shows_an_edge(browser: Browser, address: str) -> None:
    """Formulas, diagrams, figures, tables and code that a telephone cuts: a shadow, covered by what comes last."""
    page = browser.new_page(viewport={"width": 360, "height": 740})
    wide = """() => [...document.querySelectorAll("article *")]
        .filter(e => e.scrollWidth > e.clientWidth + 2 && /auto|scroll/.test(getComputedStyle(e).overflowX))
        .filter(e => e.checkVisibility())
        .map(e => [e.outerHTML.slice(0, 80), e.className || e.localName, getComputedStyle(e).backgroundAttachment])"""
    found = []
    for name in ("clinic/dtype-loss/", "concepts/kv-cache/", "reference/figures/"):
        page.goto(address + name)
        found += page.evaluate(wide)
    assert {"code", "diagram-box", "formula", "table"} <= {kind for _, kind, _ in found}
    assert [html for html, _, edges in found if edges != "local, local, scroll, scroll"] == []


def test_what_is_far_below_waits_and_is_found(browser: Browser, address: str) -> None:
    """A figure below the first screen is not laid out; a search, an anchor and who comes back find their place."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    captions, top = (
        page.locator(".qkv:not(details *) figcaption"),
        "e => Math.round(e.getBoundingClientRect().top)",
    )
    far, drawn = captions.last, "e => e.checkVisibility({ contentVisibilityAuto: true })"
    page.goto(f"{address}lessons/04-qkv-projections/")
    assert far.evaluate(drawn) != page.evaluate("CSS.supports('overflow-anchor', 'auto')")
    page.emulate_media(media="print")
    assert all(captions.evaluate_all(f"all => all.map({drawn})"))
    page.emulate_media(media="screen")
    assert page.evaluate("words => window.find(words)", far.text_content()[:40])
    page.wait_for_timeout(200)
    assert far.evaluate(drawn)
    at = far.evaluate(top)
    page.reload()
    page.wait_for_timeout(300)
    assert abs(far.evaluate(top) - at) < 3
    page.goto(f"{address}concepts/softmax/")
    page.goto(f"{address}lessons/04-qkv-projections/#bridge")
    page.wait_for_timeout(300)
    assert 0 <= page.locator("#bridge").evaluate(top) <= 160
