"""Exercises that check themselves: Python and the browser draw the same, and every mistake is known by its name."""

import re
from html import unescape
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from qkvdocs.errors import QKVError, ShapeError
from qkvdocs.figures import exercise
from qkvdocs.figures._practice import instance, read, stream, tied
from qkvdocs.figures._traced import Traced
from tests.browser.conftest import violations
from tests.figures.examples import W_K, W_Q, W_V
from tests.figures.exercises import exercises

ALL = sorted(exercises())
OPTIONS = {*["task", "asked", "columns", "ticks", "own", "hint", "after", "seed", "name"]}
SEEDS = range(40)
# What the element has drawn and knows, and what it shows of it.
STATE = """([id, seed]) => { const element = document.getElementById(id); element.draw(seed);
    const text = selector => [...element.querySelectorAll(selector)].map(e => e.textContent);
    return {env: element.env, known: element.known, given: text(".given td"), said: text("p:first-child"),
            worked: text(".qkv-sums li")}; }"""


def parts(name):
    """An exercise's function, its sentences, its options, its inputs, and its id."""
    (answers, mistakes), options, _ = exercises()[name]
    inputs = {key: value for key, value in options.items() if key not in OPTIONS}
    return answers, mistakes, options, inputs, options.get("name", "practice")


def drawn(name, seed):
    """What Python draws, as numbers: inputs and answers."""
    answers, _, options, inputs, _ = parts(name)
    given, _, known = instance(answers, read(inputs), tuple(options.get("asked", ())), seed)
    return given, known


def open_practice(open_page, name, query="", **reader):
    """Open a lesson's exercises and go to one."""
    page = open_page(f"practice-{name[:2]}/index.html{query}", **reader)
    return page, near(page, f"#{parts(name)[-1]}")


def near(page, selector):
    """Go to an exercise; where scripts run, its own comes then."""
    element = page.locator(selector)
    element.scroll_into_view_if_needed()
    if page.evaluate("'qkv' in window"):
        page.wait_for_function("!!customElements.get('qkv-practice')")
    return element


def give(element, answer):
    """Fill in an answer, as a reader would write it, and press the button."""
    fields = element.locator(".asked input")
    values = [value for one in answer for value in one.value.ravel().tolist()]
    assert fields.count() == len(values)
    fields.evaluate_all(
        """(fields, values) => fields.forEach((field, i) => {
            if (field.type === "checkbox") field.checked = !!values[i]; else field.value = values[i].toFixed(3); })""",
        values,
    )
    element.get_by_role("button", name="Check").click()
    return element.locator("[role=status]").text_content()


@pytest.mark.parametrize("name", ALL)
def test_the_pages_function_gives_what_is_recorded(name):
    """Run on plain arrays, it gives the numbers that it gives on those that write down their recipe."""
    answers, *_, options, _, _ = parts(name)
    for seed in SEEDS:
        given, known = drawn(name, seed)
        plain = dict(answers(**{key: one.value for key, one in given.items()}))
        right = plain.pop("right")
        asked = options.get("asked", list(right))
        assert all(
            np.array_equal(np.atleast_2d(right[key]), one.value)
            for key, one in zip(asked, known["right"], strict=True)
        )
        for mistake, value in plain.items():
            value = value if isinstance(value, tuple) else (value,)
            for a, b in zip(value, known[mistake], strict=True):
                assert np.array_equal(np.atleast_2d(a), b.value), mistake


@pytest.mark.parametrize("name", ALL)
def test_all_answers_of_an_instance_differ(name):
    """Also as a reader writes them, with three decimals."""
    for seed in SEEDS:
        _, known = drawn(name, seed)
        written = {
            tuple(f"{v:.3f}" for one in answer for v in one.value.ravel()) for answer in known.values()
        }
        assert len(written) == len(known)


def test_numbers_are_stirred():
    """Each remainder comes as often as another, and neighbouring seeds do not share a stream."""
    numbers = [next(stream(seed)) for seed in range(4000)]
    counts = np.bincount([number % 4 for number in numbers])
    assert counts.min() > 850
    one, two = stream(1), stream(2)
    assert len({next(one) for _ in range(500)} & {next(two) for _ in range(500)}) < 3


@pytest.mark.parametrize("name", ALL)
def test_the_browser_draws_what_python_draws(open_page, name):
    """Inputs, every answer, and the worked answer word by word, for many seeds."""
    page, _ = open_practice(open_page, name)
    (answers, mistakes), options, _ = exercises()[name]
    for seed in SEEDS:
        given, known = drawn(name, seed)
        state = page.evaluate(STATE, [parts(name)[-1], seed])
        for key, one in given.items():
            assert state["env"][key] == one.value.tolist(), key
        assert [one[0] for one in state["known"]] == ["the right answer", *mistakes]
        for (key, _, values), answer in zip(state["known"], known.values(), strict=True):
            for a, b in zip(values, answer, strict=True):
                assert np.allclose(a, b.value.ravel(), rtol=0, atol=1e-12), key
        built = exercise(answers, mistakes, **{**options, "seed": seed})
        items = re.findall(r"<li>(.*?)</li>", built)
        assert state["worked"] == [unescape(re.sub(r"<[^>]+>", "", item)) for item in items]
        task = re.search(r"<p>(.*?)</p>", built)[1]
        assert state["said"][0] == unescape(re.sub(r"<[^>]+>", "", task))
        cells = re.findall(r'data-name="[^"]*">(.*?)</td>', built)
        assert state["given"] == cells


@pytest.mark.parametrize("name", ALL)
def test_every_mistake_is_called_by_its_name(open_page, name):
    """Alone, with its sentence, in several instances; the right answer is accepted."""
    page, element = open_practice(open_page, name)
    mistakes = parts(name)[1]
    for seed in (1, 2, 3):
        page.evaluate(STATE, [parts(name)[-1], seed])
        for mistake, answer in drawn(name, seed)[1].items():
            said = give(element, answer)
            if mistake == "right":
                assert said.strip() == "All right."
                assert element.locator("[aria-invalid=true]").count() == 0
                assert (
                    element.locator("[aria-invalid=false]").count() == element.locator(".asked input").count()
                )
            else:
                assert said.endswith(f"Recognised: {mistake}. {mistakes[mistake]}")
                assert said.count("Recognised") == 1
                assert element.locator("[aria-invalid=true]").count() > 0


def test_each_entry_is_judged_by_itself(open_page):
    """Right ones, wrong ones, empty ones; what is typed anew is not judged before it is asked."""
    page, element = open_practice(open_page, "04-practice")
    q, k, v = (one.value[0] for one in drawn("04-practice", 1)[1]["right"])
    assert v[0] < 0, "one of them needs a minus sign"
    assert not page.get_by_label("q_0", exact=True).get_attribute("aria-invalid")
    element.get_by_role("button", name="Check").click()
    status = element.locator("[role=status]")
    assert status.text_content() == "Still without a number: q_0, q_1, k_0, k_1, v_0, v_1."
    for label, value in [("q_0", q[0]), ("q_1", q[1] + 40), ("k_0", k[0]), ("v_0", v[0])]:
        page.get_by_label(label, exact=True).fill(f"{value:g}".replace("-", "−"))
    page.get_by_label("k_1", exact=True).fill("about five")
    element.get_by_role("button", name="Check").click()
    assert status.text_content() == "Not right: q_1. Another mistake: go column by column."
    judged = element.locator(".asked input").evaluate_all(
        "all => all.map(f => f.getAttribute('aria-invalid'))"
    )
    assert judged == ["false", "true", "false", None, "false", None]
    page.get_by_label("q_1", exact=True).fill(f"{q[1]:g}")
    assert status.text_content() == ""
    assert not page.get_by_label("q_1", exact=True).get_attribute("aria-invalid")


def test_a_mistake_in_one_result_is_known_there(open_page):
    """The key by its rows, the others right: not the whole answer is that mistake, but this result is."""
    _page, element = open_practice(open_page, "04-practice")
    known = drawn("04-practice", 1)[1]
    q, _k, v = known["right"]
    assert "Recognised: rows for columns." in give(element, (q, known["rows for columns"][1], v))


@pytest.mark.parametrize(
    "write",
    [lambda a, b: f"{a}/{b}", lambda a, b: f"{a / b:.3f}", lambda a, b: f" {a / b:.5f}".replace(".", ",")],
)
def test_fractions_and_decimals_are_taken(open_page, write):
    """With a slash, with three decimals, with a comma."""
    _page, element = open_practice(open_page, "02-practice")
    given, _ = drawn("02-practice", 1)
    powers, place = given["powers"].value[0].astype(int), int(given["place"].value.item())
    fields = element.locator(".asked input")
    for i in range(4):
        fields.nth(i).fill(write(powers[i] if i < place else 0, powers[:place].sum()))
    element.get_by_role("button", name="Check").click()
    assert element.locator("[role=status]").text_content().strip() == "All right."
    fields.nth(0).fill(f"{powers[0] / powers[:place].sum() + 0.002:.3f}")
    element.get_by_role("button", name="Check").click()
    assert element.locator("[role=status]").text_content().startswith("Not right: key 1.")
    line = "e => getComputedStyle(e).borderInlineStartStyle"
    assert element.locator("[role=status]").evaluate(line) == "dashed"


def test_new_numbers_are_in_the_address(open_page):
    """And come back from it; anchors, other parameters and the other exercise stay."""
    page, element = open_practice(open_page, "04-practice", "?from=mail#a-heading")
    other = page.locator("#practice-scores .given").all_text_contents()
    before, steps = element.locator(".given").all_text_contents(), page.evaluate("history.length")
    page.get_by_label("q_0", exact=True).fill("5")
    element.get_by_role("button", name="New numbers").click()
    after = element.locator(".given").all_text_contents()
    assert after != before
    assert page.get_by_label("q_0", exact=True).input_value() == ""
    assert page.url.endswith("#a-heading")
    assert parse_qs(urlsplit(page.url).query) == {"from": ["mail"], "practice": ["2"]}
    assert page.evaluate("history.length") == steps
    assert page.locator("#practice-scores .given").all_text_contents() == other
    page.locator("#practice-scores").get_by_role("button", name="New numbers").click()
    again = open_page(page.url.partition("/site/")[2])
    near(again, "#practice")
    assert again.locator("#practice .given").all_text_contents() == after
    assert again.locator("#practice-scores .given").all_text_contents() != other


def test_new_numbers_are_other_numbers(open_page):
    """Also where an exercise has few instances."""
    _page, element = open_practice(open_page, "01-practice")
    said = element.locator("p").first
    for _ in range(25):
        before = said.text_content()
        element.get_by_role("button", name="New numbers").click()
        assert said.text_content() != before


@pytest.mark.parametrize(
    "seed", ["abc", "-1", "1e5", "99999999999999999999", "", "1.5", "%00", "<b>", "Infinity", "０"]
)
def test_hostile_seeds_are_harmless(open_page, seed):
    """They are no seeds: the instance is the built one."""
    _, element = open_practice(open_page, "04-practice", f"?practice={seed}")
    _, built = open_practice(open_page, "04-practice")
    assert element.locator(".given").all_text_contents() == built.locator(".given").all_text_contents()


def test_the_largest_seed_is_one(open_page):
    """Nine digits, and Python draws the same."""
    _, element = open_practice(open_page, "04-practice", "?practice=999999999")
    given, _ = drawn("04-practice", 999_999_999)
    shown = element.locator(".given td").all_text_contents()
    assert shown == [f"{v:g}" for one in given.values() for v in one.value.ravel()]


def bring(element, *matrices):
    """Bring matrices of one's own."""
    element.get_by_role("button", name="My own matrices").click()
    fields = element.locator(".given input")
    values = [f"{v:g}" for matrix in matrices for v in np.ravel(matrix)]
    assert fields.count() == len(values)
    for i, value in enumerate(values):
        fields.nth(i).fill(value)


def test_own_matrices_that_hide_a_mistake_are_said_to(open_page):
    """With the lesson's own nobody can tell key and value, and a lost sign; the answer is checked all the same."""
    page, element = open_practice(open_page, "04-practice", "?practice=7")
    x = np.array([1, 2, 1, 0])
    bring(element, x, W_Q, W_K, W_V)
    said = element.locator("[role=status]").text_content()
    found = re.fullmatch(
        r"With these numbers nobody can tell apart: the right answer, (.*?)\. .*", said, re.S
    )
    assert set(found[1].split(", ")) == {"k and v swapped", "a minus sign lost"}
    assert "practice" not in page.url.partition("?")[2]
    answer = [Traced(x @ W, []) for W in (W_Q, W_K, W_V)]
    assert give(element, answer).startswith(
        "All right. With these numbers nobody can tell apart: the right answer, "
    )
    assert page.get_by_label("W_K[3,1]", exact=True).input_value() == "-1"


def test_own_matrices_that_hide_nothing_pass_in_silence(open_page):
    """Numbers that Python drew, brought by hand: no doubt, the same sums, every mistake known."""
    _, element = open_practice(open_page, "05-practice")
    given, known = drawn("05-practice", 9)
    bring(element, *(one.value for one in given.values()))
    assert element.locator("[role=status]").text_content() == ""
    for mistake, answer in known.items():
        said = give(element, answer)
        assert said.strip() == "All right." if mistake == "right" else f"Recognised: {mistake}. " in said
    element.locator("summary").click()
    assert "?" not in "".join(element.locator(".qkv-sums li").all_text_contents())
    element.locator(".given input").first.fill("")
    assert "?" in "".join(element.locator(".qkv-sums li").all_text_contents())
    element.get_by_role("button", name="New numbers").click()
    assert element.locator(".given input").count() == 0


def test_two_roles_with_one_matrix_cannot_be_told_apart(open_page):
    """Lesson 05: one matrix taken twice."""
    _, element = open_practice(open_page, "05-practice")
    given, _ = drawn("05-practice", 1)
    bring(element, given["X"].value, given["W_K"].value, given["W_K"].value)
    said = element.locator("[role=status]").text_content()
    for mistake in ("roles swapped", "W_Q used for both roles", "one matrix in both tables"):
        assert mistake in said


def test_it_works_by_keyboard_alone(open_page):
    """Fields, Enter, buttons, fold."""
    page, element = open_practice(open_page, "04-practice")
    page.get_by_label("q_0", exact=True).focus()
    for one in drawn("04-practice", 1)[1]["right"]:
        for value in one.value.ravel():
            page.keyboard.type(f"{value:g}")
            page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Check"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    assert element.locator("[role=status]").text_content().strip() == "All right."
    line = "e => getComputedStyle(e).borderInlineStartStyle"
    assert element.locator("[role=status]").evaluate(line) == "solid", "right is whole, wrong is dashed"
    for text in ("Check", "New numbers", "My own matrices", "Unfold"):
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent").startswith(text)
    page.keyboard.press("Enter")
    assert element.locator(".qkv-sums li").first.is_visible()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Space")
    assert page.evaluate("document.activeElement.ariaLabel") == "x_0"


@pytest.mark.parametrize("name", ALL)
def test_all_is_there_without_a_script(open_page, name):
    """The instance, empty boxes, the answer behind its fold; no button that does nothing."""
    _, element = open_practice(open_page, name, java_script_enabled=False)
    given, _ = drawn(name, 1)
    shown = (
        element.locator(".given td").all_text_contents() + element.locator("[data-py]").all_text_contents()
    )
    assert sorted(shown) == sorted(f"{v:g}" for one in given.values() for v in one.value.ravel())
    assert element.locator(".asked input").first.is_visible()
    assert not element.locator("button:visible").count()
    assert not element.locator(".qkv-sums li").first.is_visible()
    element.locator("summary").click()
    assert element.locator(".qkv-sums li").first.is_visible()


@pytest.mark.parametrize("javascript", [True, False])
def test_paper_has_the_exercise_and_blank_boxes(open_page, javascript):
    """No button, no verdict, no typed answer; the right one only where it was unfolded."""
    page, element = open_practice(open_page, "04-practice", java_script_enabled=javascript)
    page.get_by_label("q_0", exact=True).fill("77")
    if javascript:
        element.get_by_role("button", name="Check").click()
    page.emulate_media(media="print")
    assert element.locator(".given").first.is_visible()
    assert element.locator(".asked input").first.is_visible()
    assert not element.locator("button:visible").count()
    assert not element.locator("[role=status]").is_visible()
    assert not element.locator("details").is_visible()
    ink = page.get_by_label("q_0", exact=True).evaluate("f => getComputedStyle(f).color")
    assert ink == "rgba(0, 0, 0, 0)"
    page.emulate_media(media="screen")
    element.locator("summary").click()
    page.emulate_media(media="print")
    assert element.locator(".qkv-sums li").first.is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["00-practice", "04-practice", "05-practice"])
def test_axe_finds_nothing_in_an_exercise(open_page, scheme, name):
    """As built, judged, unfolded, and with the reader's own matrices."""
    page, element = open_practice(open_page, name, color_scheme=scheme)
    give(element, list(drawn(name, 1)[1].values())[1])
    element.locator("summary").click()
    if element.get_by_role("button", name="My own").count():
        element.get_by_role("button", name="My own").click()
    assert violations(page, ".md-content") == []


@pytest.mark.parametrize("name", ALL)
def test_an_exercise_fits_a_phone(open_page, name):
    """At 360 pixels only rows scroll, in their own box."""
    page, element = open_practice(open_page, name, viewport={"width": 360, "height": 740})
    give(element, list(drawn(name, 1)[1].values())[1])
    element.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_an_exercise_works_from_disk(open_page, gallery):
    """From file://, the address too."""
    page = open_page("practice-04/index.html?practice=17", at=gallery.as_uri())
    element = near(page, "#practice")
    assert give(element, drawn("04-practice", 17)[1]["right"]).strip() == "All right."
    element.get_by_role("button", name="New numbers").click()
    assert page.url.endswith("?practice=18")


def test_what_is_drawn_is_markup_free():
    """Names and sentences are text, not HTML."""
    html = exercise(
        lambda x: {"right": {"y": x + 1}, "<b>'\"&": x},
        {"<b>'\"&": "<i>'\"&"},
        task="Add one.",
        x=((1, 2), range(3)),
        hint="<u>",
    )
    assert not re.search(r"<[biu]>['\"&]|<u>", html)


def solve(x, W):
    """One product and one mistake."""
    return {"right": {"y": x @ W}, "rows": x @ W.T}


GIVEN = {"task": "Work it out.", "x": ((1, 2), range(3)), "W": ((2, 2), range(4))}


@pytest.mark.parametrize(
    ("error", "message", "changes"),
    [
        (
            QKVError,
            "^mistakes must be those of answers = \\['rows'\\], got \\['row'\\]$",
            {"mistakes": {"row": ""}},
        ),
        (QKVError, "^name must be lower-case letters, digits and hyphens, got 'A b'$", {"name": "A b"}),
        (QKVError, "^asked must be among the right results = \\['y'\\], got \\['z'\\]$", {"asked": ["z"]}),
        (QKVError, "^task must name a single number of x, W in braces, got {z}$", {"task": "{z}"}),
        (QKVError, "^task must name a single number of x, W in braces, got {x}$", {"task": "{x}"}),
        (
            QKVError,
            "^x must be an array, range\\(low, end\\) or \\(shape, range",
            {"x": ((1, 2), range(0, 4, 2))},
        ),
        (
            QKVError,
            "^an input must be named like a variable and not like an operation, got 'pick'$",
            {"pick": range(3)},
        ),
        (ShapeError, "^columns of y must have as many labels as entries = 2, got 1$", {"columns": ["a"]}),
        (QKVError, "^answers must begin with 'right': a dict", {"answers": lambda x, W: {"rows": x @ W.T}}),
        (
            QKVError,
            "^answers must differ in some instance, got the same for right and rows$",
            {"answers": lambda x, W: {"right": {"y": x @ W}, "rows": x @ W}},
        ),
        (
            ShapeError,
            "^'rows' must have the shapes of the right answer = \\[\\(1, 2\\)\\], got \\[\\(2, 2\\)\\]$",
            {"answers": lambda x, W: {"right": {"y": x @ W}, "rows": W}},
        ),
        (
            ShapeError,
            "^the left side of - must have the shape of the result, got \\(1, 2\\) - \\(2, 2\\)$",
            {"answers": lambda x, W: {"right": {"y": x @ W}, "rows": x - W}},
        ),
        (
            QKVError,
            "^an exercise must keep its matrices in 2 axes, got 1. Slice: X\\[1:2\\]$",
            {"answers": lambda x, W: {"right": {"y": x @ W}, "rows": W[0]}},
        ),
    ],
)
def test_a_wrong_exercise_is_refused(error, message, changes):
    """Each rule in a sentence."""
    options = {"answers": solve, "mistakes": {"rows": "Rows."}, **GIVEN, **changes}
    answers, mistakes = options.pop("answers"), options.pop("mistakes")
    with pytest.raises(error, match=message):
        exercise(answers, mistakes, **options)


def test_ties_are_grouped():
    """Those that stand alone are left out."""
    one, two = (Traced([[1]], []),), (Traced([[2]], []),)
    assert tied({"a": one, "b": two, "c": one, "d": two, "e": (Traced([[3]], []),)}) == [
        ["a", "c"],
        ["b", "d"],
    ]


def test_sizes():
    """The script keeps its budget; nothing stands inline."""
    from tests.figures.conftest import ASSETS

    assert (ASSETS / "qkv-practice.js").stat().st_size <= 5120
    for *_, html in exercises().values():
        assert not re.search(r"<script|<style|\son\w+=", html)
        assert len(html) < 8192
