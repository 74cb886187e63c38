"""Inline values stand wherever text stands, in the order in which the page runs."""

from tests.project import Project, fence

PLACES = {
    "prose": ("It is `{python} x`.", "<p>It is 7.</p>"),
    "bold": ("It is **`{python} x`**.", "<strong>7</strong>"),
    "table": ("| a | b |\n|---|---|\n| `{python} x` | `{python} 2 * x` |", "<td>7</td>\n<td>14</td>"),
    "inline formula": (r"so \(x = `{python} x`\)", "<mn>7</mn>"),
    "display formula": ("\\[\n`{python} tex([[x, 1], [2, 3]])`\n\\]", '<math display="block">'),
    "caption": (
        "<figure markdown>\n<figcaption>Seven: `{python} x`</figcaption>\n</figure>",
        ">Seven: 7</fig",
    ),
    "admonition title": ('!!! note "Now `{python} x`"\n    text', '<p class="admonition-title">Now 7</p>'),
    "admonition text": ('!!! note "Now"\n    text `{python} x`', "<p>text 7</p>"),
    "link text": ("[page `{python} x`](https://example.org)", '<a href="https://example.org">page 7</a>'),
    "alternative text": ("![see `{python} x`](https://example.org/x.png)", 'alt="see 7"'),
    "link title": ('[a](https://example.org "title `{python} x`")', 'title="title 7"'),
    "raw HTML": ('<div title="`{python} x`">`{python} x`</div>', '<div title="7">7</div>'),
    "mermaid": ("```mermaid\nflowchart LR\n  A[x is `{python} x`] --> B[y]\n```", ">x is 7</text>"),
    "heading": ("## Head `{python} x` {#head}", '<h2 id="head">Head 7</h2>'),
    "list": ("- one\n- `{python} x`\n", "<li>7</li>"),
    "array": ("`{python} [x, x / 2]`", "<p>[7, 3.5]</p>"),
    "string": ("`{python} word(x)`", "<p>seven</p>"),
}


def test_values_follow_the_order_of_the_page(project: Project) -> None:
    """A value is that of the fence above it, not of the last one."""
    page = project.run(
        fence("x = 1", 'exec="on" session="a"')
        + "`{python} x`\n\n"
        + fence("x += 1", 'exec="on" session="a"')
        + "`{python} x` and `{python} x * 10`\n"
    )

    assert [entry.text for entry in page.entries if entry.fence is None] == ["1", "2", "20"]


def test_a_fence_without_a_session_starts_afresh(project: Project) -> None:
    """As in markdown-exec: a session is a name, and no name means no memory."""
    page = project.run(
        fence("x = 1", 'exec="on" session="a"')
        + fence("print('x' in globals())")
        + fence("print(x)", 'exec="on" session="a"')
    )

    assert [entry.text for entry in page.entries] == ["", "False", "1"]


def test_an_inline_value_changes_nothing(project: Project) -> None:
    """Binding a name in a value does not bind it on the page."""
    page = project.run(f"{fence('x = 1')}`{{python}} (x := 2)`\n\n`{{python}} x`\n")

    assert [entry.text for entry in page.entries] == ["", "2", "1"]


def test_code_that_shows_the_syntax_is_left_alone(project: Project) -> None:
    """Double backticks and longer fences quote a value without computing it."""
    project.write(f"{fence('x = 1')}\n`` `{{python}} x` ``\n\n````md\n`{{python}} x`\n{fence('boom')}````\n")

    html = project.html()

    assert "<code>`{python} x`</code>" in html
    assert "boom" in html


def test_dataclasses_work(project: Project) -> None:
    """They look up the module that they are made in."""
    code = "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: 'int' = 3\nprint(A())"

    assert project.run(fence(code)).entries[0].text == "A(x=3)"


def test_reading_time_follows_its_formula(project: Project) -> None:
    """Words at 200 a minute, shown lines of code at 20; what is not shown takes no time."""
    words, shown, hidden = (
        "word " * 390,
        fence("x = 1\n" * 21, 'exec="on" source="above"'),
        fence("x = 1\n" * 99),
    )
    page = project.run(f"{words}\n\n`{{minutes}}`\n\n{shown}\n{hidden}")

    assert [entry.text for entry in page.entries if not entry.fence] == ["4"]


def test_reading_time_is_told_with_folds_and_without(project: Project) -> None:
    """What a reader sees only after opening a fold takes no time of those who do not."""
    code = "\n".join("    " + line for line in fence("x = 1\n" * 40, 'exec="on" source="above"').split("\n"))
    page = project.run(
        f'{"word " * 150}\n\n`{{minutes}}` `{{unfolded}}`\n\n??? note "Going deeper"\n\n'
        f"    {'word ' * 390}\n\n{code}\n\n{'word ' * 30}"
    )

    assert [entry.text for entry in page.entries if not entry.fence] == ["1", "5"]
