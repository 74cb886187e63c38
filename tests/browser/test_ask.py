"""A reader's own sentence in the browser: what is loaded, what is shown, what is said, and what never leaves."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote_plus, urlsplit

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Request, expect

from qkvdocs.models import read_head
from tests.browser.conftest import violations
from tests.browser.test_published import BUDGET, visit

ROOT = Path(__file__).parents[2]
ANIMAL = "the animal did not cross the street because it was too tired"
ALL = 36_000_000
"""Bytes that a reader loads, all in all."""


@contextmanager
def reader(browser: Browser, address: str, fragment: str = "", **options: object) -> Iterator[Page]:
    """One reader with a fresh cache, all of whose requests are written down, the worker's too."""
    page = browser.new_page(**options)
    page.set_default_timeout(90_000)
    page.asked, page.complaints = [], []

    def ask(request: Request) -> None:
        page.asked.append((request.method, request.url, request.post_data, request))

    page.context.on("request", ask)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda said: said.type == "error" and page.complaints.append(said.text))
    page.goto(f"{address}ask/{fragment}")
    page.wait_for_load_state("networkidle")
    yield page
    page.context.close()


@pytest.fixture(scope="module")
def page(browser: Browser, address: str, packed: Path) -> Iterator[Page]:
    """A reader whose Python is warm from the first test that asks."""
    with reader(browser, address) as one:
        yield one


def said(page: Page) -> str:
    """Give the status once nothing is computed any more."""
    expect(page.locator("[name=stop]")).to_be_hidden(timeout=90_000)
    return " ".join(page.locator(".ask-status:not(:empty)").all_inner_texts())


def ask(page: Page, sentence: str | None = None) -> str:
    """Type a sentence, and ask."""
    if sentence is not None:
        page.get_by_label("An English sentence").fill(sentence)
    page.get_by_role("button", name="Ask the model").click()
    return said(page)


def loaded(page: Page) -> list[str]:
    """List what was asked for beside the page's own files."""
    return [url for _, url, *_ in page.asked if "/runtime/" in url]


def test_nothing_is_loaded_before_the_click(page: Page, address: str, site: Path) -> None:
    """Neither by the page nor by typing or choosing a head; the page says what will come, and is light."""
    assert re.search(
        r"from this site: \d+ MB, once\. Later layers bring it to 36 MB", page.inner_text(".ask-price")
    )
    page.get_by_label("An English sentence").fill("something else")
    page.get_by_role("button", name="rests on [CLS]").click()
    page.wait_for_timeout(200)
    assert loaded(page) == []
    assert page.complaints == []
    weights = visit(page.context.browser, f"{address}ask/", site)
    assert sum(weights.values()) <= BUDGET, weights


@pytest.mark.parametrize("sentence", ["", "word " * 33])
def test_what_cannot_be_asked_costs_nothing(page: Page, sentence: str) -> None:
    """It is said before anything is loaded."""
    assert ask(page, sentence) in {"Type a sentence first.", "That is 33 words; this page shows at most 32."}
    assert loaded(page) == []


def test_a_sentence_is_read_by_the_model(page: Page, address: str) -> None:
    """On a recorded one the page shows the recorded weights, from files of this site, each asked for once."""
    page.get_by_role("button", name="finds what a pronoun refers to").click()
    assert "Layer 3, head 1: “" in ask(page, ANIMAL)
    record = read_head(f"{ROOT}/docs/models/minilm-3-1.npz").record["sentences"][ANIMAL]
    it = record["words"].index("it")
    page.locator(".ask-figure label").nth(it).click()
    assert said(page) == "Layer 3, head 1: “it” listens most to “animal”, with a share of 0.65."
    shares = [float(share) for share in page.locator(".ask-figure li u").all_text_contents()]
    assert np.abs(np.subtract(shares, record["pattern"][it])).max() < 0.015
    names = loaded(page)
    assert len(names) == len(set(names))
    assert sum("layer-" in name for name in names) == 4
    assert all(url.startswith((address, "data:")) for _, url, *_ in page.asked)
    assert page.complaints == []


def test_another_head_loads_its_layers_and_no_more(page: Page) -> None:
    """The picked word stays; what was loaded is not asked for again; the small pictures follow."""
    before = loaded(page)
    page.get_by_text("All 72 heads").click()
    page.get_by_role("button", name="layer 2, head 11").click()
    assert said(page).startswith("Layer 2, head 11: “it” listens most to ")
    assert loaded(page) == before
    page.get_by_role("button", name="layer 5, head 0").click()
    assert said(page).startswith("Layer 5, head 0: “it” ")
    assert [re.search(r"layer-\d", url)[0] for url in loaded(page)[len(before) :]] == ["layer-4", "layer-5"]
    assert page.locator(".ask-seen").count() == 6
    assert page.locator("[aria-pressed=true]").count() == 1
    page.get_by_role("button", name="finds what a pronoun refers to").click()
    assert said(page).startswith("Layer 3, head 1: “it” ")


def test_a_mistake_stands_beside(page: Page, site: Path) -> None:
    """Each of the seven, with a link to its page; right and broken are drawn for the picked word."""
    choices = page.locator(".ask-bugs input").all()
    assert len(choices) == 8
    for choice in choices[1:]:
        choice.check()
        said(page)
        assert page.locator(".ask-broken .qkv-ribbons svg[role=img]").count() == 2
        label = page.locator(".ask-broken svg").nth(1).get_attribute("aria-label")
        assert label.startswith("broken: whom it asks")
    for link in page.locator(".ask-bugs a").all():
        path = urlsplit(link.evaluate("link => link.href")).path.removeprefix("/under/")
        assert (site / path / "index.html").is_file()
    choices[3].check()
    said(page)
    page.get_by_label("A second sentence").fill("stocks fell sharply in early trading")
    page.get_by_role("button", name="Compare both").click()
    said(page)
    right, broken = re.fullmatch(
        r"Cosine (-?[\d.]+); broken: ([\d.]+)\.", page.locator(".ask output").inner_text()
    ).groups()
    assert float(broken) > float(right) + 0.3
    choices[0].check()
    said(page)
    assert page.locator(".ask-broken").is_hidden()


def test_all_that_is_loaded_is_within_the_budget(page: Page, site: Path) -> None:
    """All layers are there by now: as served, where the host compresses what can be."""
    total = 0
    for _, url, _, request in page.asked:
        path = site / urlsplit(url).path.removeprefix("/under/")
        if path.is_file():
            total += request.sizes()["responseBodySize"] or path.stat().st_size
    assert sum("layer-" in url for url in loaded(page)) == 6
    assert 30_000_000 < total <= ALL


def test_the_address_keeps_the_state(page: Page, browser: Browser, address: str) -> None:
    """In its fragment; opened anew, it fills the page and loads nothing."""
    page.locator(".ask-bugs input").nth(1).check()
    said(page)
    fragment = "#" + urlsplit(page.url).fragment
    assert "word=9" in fragment
    with reader(browser, address, fragment) as other:
        assert other.get_by_label("An English sentence").input_value() == ANIMAL
        assert other.get_by_label("A second sentence").input_value().startswith("stocks")
        assert (
            other.get_by_role("button", name="finds what a pronoun").get_attribute("aria-pressed") == "true"
        )
        assert other.locator(".ask-bugs input").nth(1).is_checked()
        assert loaded(other) == []
        assert not [url for _, url, *_ in other.asked if "animal" in url]
    page.locator(".ask-bugs input").first.check()
    said(page)


def test_letters_and_markup(page: Page) -> None:
    """What the model does not know is said; markup stays text; pieces that are too many are counted."""
    assert "[UNK] stands for letters that the model does not know." in ask(page, "ᚠᚢᚦ <b onclick=x>old</b>")
    assert page.locator(".ask-result b[onclick]").count() == 0
    assert "Leave some out." in ask(page, "antidisestablishmentarianism " * 9)
    assert page.complaints == []


def test_it_works_by_keyboard_and_shows_no_barrier(page: Page) -> None:
    """Enter asks, arrows pick a word and keep the focus; axe finds nothing, and nothing is wider than a phone."""
    page.get_by_label("An English sentence").fill(ANIMAL)
    page.get_by_label("An English sentence").press("Enter")
    said(page)
    page.locator(".ask-figure :checked").focus()
    before = " ".join(page.locator(".ask-status:not(:empty)").all_inner_texts())
    page.keyboard.press("ArrowDown")
    expect(page.locator(".ask-status").first).not_to_have_text(before)
    assert said(page) != before
    assert page.evaluate("document.activeElement.name") == "asked"
    page.locator(".ask-bugs input").nth(2).check()
    said(page)
    page.evaluate("document.querySelectorAll('.ask details').forEach(fold => { fold.open = true; })")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(500)  # links fade from one scheme to the other
        assert violations(page, ".ask") == []
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.emulate_media(media="print")
    assert page.locator(".ask button:visible, .ask-bugs:visible").count() == 0
    assert page.locator(".ask-figure .qkv").is_visible()


def test_no_request_depends_on_what_is_typed(browser: Browser, address: str, packed: Path) -> None:
    """Two readers with two sentences ask for the same, in the same way; and nobody is told the sentence."""
    seen = []
    for sentence in ("My secret is Zürich", "colorless green ideas sleep furiously, and so do I"):
        with reader(browser, address) as one:
            ask(one, sentence)
            one.get_by_role("button", name="rests on [CLS]").click()
            said(one)
            seen.append(sorted((method, url, body) for method, url, body, _ in one.asked))
            texts = [f"{url} {body} {request.headers}" for _, url, body, request in one.asked]
            assert not [text for text in texts if quote_plus(sentence) in text or sentence.split()[2] in text]
    assert seen[0] == seen[1]
    assert len(seen[0]) > 20


def test_stopping_and_what_does_not_come(browser: Browser, address: str, packed: Path) -> None:
    """Loading can be stopped; each failure is said in plain words, and the next try may succeed."""
    with reader(browser, address) as one:
        one.route("**/layer-2*", lambda route: None)
        one.get_by_role("button", name="Ask the model").click()
        expect(one.locator(".ask-status").first).to_contain_text("Loading the model: ", timeout=60_000)
        one.get_by_role("button", name="Stop").click()
        assert said(one) == "Stopped."
        one.unroute("**/layer-2*")
        for name, word in (("**/layer-2*", "interrupted"), ("**/qkv-worker.mjs", "interrupted")):
            one.route(name, lambda route: route.abort())
            one.get_by_role("button", name="Ask the model").click()
            expect(one.locator(".ask-status").first).to_contain_text(word, timeout=60_000)
            one.unroute(name)
        one.route("**/runtime/**", lambda route: route.fulfill(status=404, body="none"))
        one.get_by_role("button", name="Ask the model").click()
        expect(one.locator(".ask-status").first).to_contain_text("made without Python and the model")
        one.unroute("**/runtime/**")
        one.context.set_offline(True)
        one.get_by_role("button", name="Ask the model").click()
        expect(one.locator(".ask-status").first).to_contain_text("are you offline?")
        one.context.set_offline(False)
        assert ask(one).startswith("Layer 3, head 1: “")


def test_without_a_script_the_recorded_sentences_stand(browser: Browser, address: str) -> None:
    """A reader picks words there; the form is not shown, and why is said."""
    still = browser.new_page(java_script_enabled=False)
    still.goto(f"{address}ask/")
    assert still.locator(".ask form").is_hidden()
    assert still.get_by_text("Asking needs JavaScript.").is_visible()
    assert still.locator(".qkv-consult").count() == 3
    assert still.get_by_text("Pick a word").first.is_visible()
    still.locator(".qkv-consult label").nth(9).click()
    assert "it" in still.locator(".qkv-consult").first.locator(".home:visible").inner_text()
