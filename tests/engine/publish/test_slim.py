"""What is cut is what nobody uses; everything else is as it was."""

from pathlib import Path

import pytest

from qkvdocs.engine.publish._describe import LENGTH, beginning
from qkvdocs.engine.publish._policy import policy
from qkvdocs.engine.publish._publish import lighten

PAGE = """<!doctype html><html dir="ltr"><head><link rel="stylesheet" href="{up}assets/a.css">
<link rel="stylesheet" href="{up}assets/b.css">
<meta name="generator" content="a builder"><link rel="next" href="two/"></head><body data-md-color-scheme="slate">
<p  class="seen" role="note">two   words</p>  <pre>kept   <span class="n">name</span>
  as it is</pre><svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>
<script>document.body.className = "made-inline"</script></body></html>"""
A = """
.seen{color:red}.unseen{color:red}.seen,.unseen2{margin:0}
.made-inline{x:1}.made-by-script{x:2}.stem-left{x:3}.stem-right{x:4}
[dir=rtl] .seen{x:5}[dir=ltr] .seen{x:6}
[data-md-color-scheme=slate]{x:7}[data-md-color-scheme=other]{x:8}[role=note]{x:14}[role=row]{x:15}
@media print{.seen{x:9}.unseen{x:10}}@media screen{.unseen{x:11}}
.seen:not(.unseen){x:12}.with\\:colon{x:13}
:root{--read:url("data:image/svg+xml,<a>");--unread:1;--by-script:2;--md-mermaid-line:red}
p{background:var(--read)}@font-face{font-family:F;src:url(f.woff2)}
"""
B = ".seen{color:blue}"
SCRIPT = """
x.className = "made-by-script"; y = `stem-${side}`; z.style.getPropertyValue("--by-script"); "var(--md-mermaid-line)"
"""


@pytest.fixture
def style(tmp_path: Path) -> str:
    """Slim a small site and give its style sheet."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text(PAGE.format(up=""), "utf-8")
    (tmp_path / "deep" / "index.html").write_text(PAGE.format(up="../"), "utf-8")
    (tmp_path / "404.html").write_text(PAGE.format(up="/under/"), "utf-8")
    for name, text in {"a.css": A, "b.css": B, "c.js": SCRIPT}.items():
        (tmp_path / "assets" / name).write_text(text, "utf-8")
    lighten(tmp_path)
    return (tmp_path / "assets" / "style.css").read_text("utf-8")


@pytest.mark.parametrize("rule", [".seen{color:red}", ".seen{margin:0}", "made-inline", "made-by-script", "stem-left", "stem-right", "[dir=ltr]", "scheme=slate", "x:9", "x:12", "x:14", "--read:url", "--by-script", "@font-face", "var(--read)"])  # fmt: skip # noqa: E501
def test_what_is_in_use_stays(style: str, rule: str) -> None:
    """By a page, by a script, or by what a script may put together."""
    assert rule in style


@pytest.mark.parametrize(
    "rule",
    [
        "unseen{",
        "unseen2",
        "rtl",
        "other",
        "x:10",
        "@media screen",
        "x:13",
        "x:15",
        "--unread",
        "--md-mermaid",
    ],
)
def test_what_nobody_uses_goes(style: str, rule: str) -> None:
    """Rules, selectors, empty blocks, variables."""
    assert rule not in style


def test_parts_of_the_theme_that_no_page_has_go(tmp_path: Path) -> None:
    """A script that names a class makes it of what is there; a page with tabs keeps all that belongs to them."""
    for name, body in {
        "without": "",
        "with": '<div class="tabbed-set"><script>"content.tooltips"</script>',
    }.items():
        site = tmp_path / name
        (site / "assets").mkdir(parents=True)
        page = f'<link rel="stylesheet" href="assets/a.css"><p class="x">{body}'
        (site / "index.html").write_text(page)
        (site / "assets" / "a.css").write_text(
            ".x{top:0}.tabbed-labels a,.md-tooltip{top:1px}.md-search{top:2px}"
        )
        (site / "assets" / "a.js").write_text('find("tabbed-labels"); make("md-search", "md-tooltip")')
        lighten(site)

    assert (tmp_path / "without" / "assets" / "style.css").read_text() == ".x{top:0}.md-search{top:2px}"
    assert ".tabbed-labels a,.md-tooltip{" in (tmp_path / "with" / "assets" / "style.css").read_text()


def test_what_no_browser_shows_goes(style: str, tmp_path: Path) -> None:
    """Who built the page, and the namespace that only a drawing in a file of its own needs."""
    assert style
    text = (tmp_path / "index.html").read_text("utf-8")
    assert "generator" not in text
    assert "two/" not in text
    assert '<svg viewBox="0 0 1 1"></svg>' in text


def test_later_sheets_still_win(style: str) -> None:
    """They are joined in the order in which pages link them."""
    assert style.index("color:red") < style.index("color:blue")


def test_each_page_links_the_one_sheet(style: str, tmp_path: Path) -> None:
    """From its own depth; the page for wrong addresses from wherever it is shown."""
    assert style
    for name, link in {"index.html": "", "deep/index.html": "../", "404.html": "/under/"}.items():
        text = (tmp_path / name).read_text("utf-8")
        assert text.count("stylesheet") == 1
        assert f'href="{link}assets/style.css"' in text


def test_blanks_fold_where_nobody_sees_them(style: str, tmp_path: Path) -> None:
    """Not in code; marks without a look of their own go there too."""
    assert style
    text = (tmp_path / "index.html").read_text("utf-8")
    assert '<p class="seen" role="note">two words</p>' in text.replace("p  class", "p class")
    assert "<pre>kept   name\n  as it is</pre>" in text


def test_sheets_that_differ_are_refused(tmp_path: Path) -> None:
    """One order for all pages, or it would be a different site."""
    (tmp_path / "a.html").write_text(PAGE.format(up=""), "utf-8")
    (tmp_path / "b.html").write_text("<p>no sheet", "utf-8")
    with pytest.raises(ValueError, match="too many values"):
        lighten(tmp_path)


@pytest.mark.parametrize(
    ("paragraph", "expected"),
    [
        ("Plain &amp; <em>short</em>.", "Plain & short."),
        ("<math><mi>x</mi><annotation>\\bar x</annotation></math> rises.", "x rises."),
        ("One. " + "word " * 30 + "end. Last.", "One. " + "word " * 30 + "end."),
        ("word " * 60, "word " * 31 + "…"),
    ],
)
def test_a_description_is_whole_sentences(paragraph: str, expected: str) -> None:
    """Or a first sentence that says that it goes on."""
    said = beginning(paragraph)
    assert said == expected.replace(" …", "…")
    assert len(said) <= LENGTH


def test_the_policy_names_each_inline_script() -> None:
    """By its hash, computed here another way; nothing else may run."""
    import base64
    import subprocess

    scripts = policy(["one()", "two()", "one()"]).split("script-src ")[1].split(";")[0].split()
    expected = {"'self'"}
    for text in (b"one()", b"two()"):
        done = subprocess.run(
            ["openssl", "dgst", "-sha256", "-binary"], input=text, capture_output=True, check=True
        )
        expected.add(f"'sha256-{base64.b64encode(done.stdout).decode()}'")
    assert set(scripts) == expected
