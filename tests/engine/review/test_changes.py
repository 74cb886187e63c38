"""A reviewer sees each figure and value that changed, and no other."""

import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser

from qkvdocs.engine.review import _changes, changes
from qkvdocs.engine.review._figures import draw, reading
from tests.project import Project, fence

HOSTILE = (
    "<script>document.title='run'</script> | <img src=x onerror=\"document.title='run'\"> `[x](javascript:0)`"
)
TABLE = """<div class="qkv"><figure><table><caption>{name}</caption><tr><td>{value}</td></tr></table></figure></div>"""


def site(folder: Path, pages: dict[str, str]) -> Path:
    """Write a built site."""
    for name, article in pages.items():
        path = folder / name / "index.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"<!doctype html><title>x</title><article>{article}</article>", "utf-8")
    return folder


def ledger(folder: Path, pages: dict[str, str]) -> Path:
    """Write a ledger."""
    folder.mkdir()
    for name, text in pages.items():
        (folder / f"{name}.txt").write_text(text, "utf-8")
    return folder


def pictures(out: Path) -> list[str]:
    """List what was drawn."""
    return sorted(path.relative_to(out / "pictures").as_posix() for path in out.rglob("*.png"))


def figure(name: str, value: object) -> str:
    """Write a figure."""
    return TABLE.format(name=name, value=value)


@pytest.fixture
def compare(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Path, str]]:
    """Compare two sites, in the browser that is there."""
    monkeypatch.setattr(_changes, "chromium", lambda: nullcontext(browser))

    def run(old: dict[str, str], new: dict[str, str], **words: dict[str, str]) -> tuple[Path, str]:
        before, after = site(tmp_path / "old", old), site(tmp_path / "new", new)
        ledgers = None
        if words:
            ledgers = (
                ledger(tmp_path / "a", words["old_ledger"]),
                ledger(tmp_path / "b", words["new_ledger"]),
            )
        return tmp_path / "out", changes(before, after, tmp_path / "out", ledgers)

    return run


def test_one_number_of_a_real_page(browser: Browser, project: Project) -> None:
    """It changes exactly one of two figures, and one value; both are shown, and nothing else."""
    lines = "import numpy as np\nfrom qkvdocs.figures import visibility\n"
    text = (
        fence(
            f"{lines}first = np.array([[True, False], [True, True]])\nprint(visibility(first))",
            'exec="on" session="s"',
        )
        + fence(f"{lines}second = np.eye(2, dtype=bool)\nprint(visibility(second))", 'exec="on" session="s"')
        + "\nIt shows `{python} second.sum()` of four.\n\nA number that is no figure's: `{python} 2`."
    )
    for folder, words in (("old", text), ("new", text.replace("np.eye(2", "np.ones((2, 2)"))):
        project.write(f"# Page\n\n{words}")
        for command in (
            ("qkvdocs", "build", "-q", "-d", folder),
            ("qkvdocs", "ledger", "--update"),
        ):
            done = project.command(*command)
            assert done.returncode == 0, done.stderr
        (project.root / "tests" / "ledger").rename(project.root / f"{folder}-ledger")

    done = project.command(
        "qkvdocs", "changes", "old", "new", "-o", "out", "--ledgers", "old-ledger", "new-ledger",
        "--summary", "said.md",
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    out = project.root / "out"
    assert pictures(out) == [f"index/02-changed-{what}.png" for what in ("after", "before", "difference")]
    assert "\n- index · who may look at whom · changed\n" in done.stdout
    assert "\n-    2\n+    4\n" in done.stdout
    assert (project.root / "said.md").read_text("utf-8") == done.stdout


def test_nothing_changed(compare: Callable[..., tuple[Path, str]]) -> None:
    """Nothing is listed, not even a figure that moved down its page."""
    out, said = compare(
        {"a": f"<p>one{figure('f', 1)}"},
        {"a": f"<p>one<p style='height: 3.3px'>two{figure('f', 1)}"},
        old_ledger={"a": "value x\n    1\n"},
        new_ledger={"a": "value x\n    1\n"},
    )
    assert pictures(out) == []
    assert said == "# What a reader would see changed\n\nNothing.\n"
    assert "Nothing." in (out / "index.html").read_text("utf-8")


def test_what_came_went_and_moved(compare: Callable[..., tuple[Path, str]]) -> None:
    """Pages and figures that came or went are shown as they are; one that changed places is not."""
    out, said = compare(
        {"same": figure("a", 1) + figure("b", 2) + figure("c", 3), "gone": figure("old", 1), "words": "<p>x"},
        {"same": figure("b", 2) + figure("a", 1) + figure("d", 4) + figure("e", 5), "new": figure("new", 1)},
    )
    assert pictures(out) == [
        "gone/01-removed-before.png",
        "new/01-added-after.png",
        "same/03-added-after.png",
        "same/03-removed-before.png",
        "same/04-added-after.png",
    ]
    assert [line for line in said.split("\n") if line.startswith("- ")] == [
        "- gone · page · removed", "- gone · old · removed", "- new · page · added", "- new · new · added",
        "- same · c · removed", "- same · d · added", "- same · e · added", "- words · page · removed",
    ]  # fmt: skip


def test_the_difference_marks_what_differs(compare: Callable[..., tuple[Path, str]]) -> None:
    """Red where the square grew, and nowhere else."""
    square = (
        '<svg width="100" height="100" role="img" aria-label="square"><rect width="{}" height="20"/></svg>'
    )
    out, _ = compare({"a": square.format(20)}, {"a": square.format(30)})
    marked = Image.open(out / "pictures" / "a" / "01-changed-difference.png")
    width, height = marked.size
    red = [(x, y) for x in range(width) for y in range(height) if marked.getpixel((x, y)) == (208, 0, 60)]
    assert len(red) == 10 * 20
    assert max(x for x, _ in red) - min(x for x, _ in red) == 9


def test_a_style_alone_is_seen(compare: Callable[..., tuple[Path, str]]) -> None:
    """The markup is the same, and a reader sees something else."""
    out, _ = compare(
        {"a": f"{figure('f', 1)}<style>td {{ color: black }}</style>"},
        {"a": f"{figure('f', 1)}<style>td {{ color: teal }}</style>"},
    )
    assert "a/01-changed-difference.png" in pictures(out)


def test_hostile_words_stay_words(compare: Callable[..., tuple[Path, str]], browser: Browser) -> None:
    """A caption, a value and a page's own script run nowhere: not while it is drawn, not in what is written."""
    import html

    caption = html.escape(HOSTILE)
    out, said = compare(
        {"a": f"{figure(caption, 1)}<script>document.querySelector('td').textContent = 'same'</script>"},
        {"a": f"{figure(caption, 2)}<script>document.querySelector('td').textContent = 'same'</script>"},
        old_ledger={"a": f"value {HOSTILE}\n    1\n"},
        new_ledger={"a": f"value {HOSTILE}\n    {HOSTILE}\n"},
    )
    assert len(pictures(out)) == 3, "the page's script did not run"
    listed, fence, values = re.fullmatch(r"(.*?)\n(`+)diff\n(.*)\n\2\n", said, re.S).groups()  # type: ignore[union-attr]
    assert not re.search(r"[<>`\[\]]", listed)
    assert HOSTILE in values
    assert fence not in values
    written = (out / "index.html").read_text("utf-8")
    assert html.escape(HOSTILE) in written
    assert "<script" not in written
    without_policy = browser.new_context(bypass_csp=True)
    page = without_policy.new_page()
    page.goto((out / "index.html").as_uri())
    assert page.title() == "What a reader would see changed"
    without_policy.close()


def test_every_picture_is_shown(compare: Callable[..., tuple[Path, str]], browser: Browser) -> None:
    """Under the page's own policy, opened from a folder."""
    out, _ = compare({"a b/ü": figure("f", 1)}, {"a b/ü": figure("f", 2)})
    page = browser.new_page()
    page.goto((out / "index.html").as_uri())
    widths = page.evaluate("[...document.images].map(one => one.naturalWidth)")
    assert len(widths) == 3
    assert all(widths)
    page.close()


def test_a_page_sees_its_folder_only(browser: Browser, tmp_path: Path) -> None:
    """Neither the net nor a file outside."""
    (tmp_path / "secret.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"/>', "utf-8"
    )
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "inside.svg").write_bytes((tmp_path / "secret.svg").read_bytes())
    (tmp_path / "x" / "link.svg").symlink_to(tmp_path / "secret.svg")
    sources = (
        "inside.svg",
        "%2e%2e/secret.svg",
        "..%2fsecret.svg",
        "link.svg",
        (tmp_path / "secret.svg").as_uri(),
    )
    images = "".join(f'<img src="/{one}">' if ":" not in one else f'<img src="{one}">' for one in sources)
    (tmp_path / "x" / "index.html").write_text(f"<article>{images}</article>", "utf-8")
    with reading(browser, tmp_path / "x") as tab:
        assert len(draw(tab, "index.html")) == len(sources)
        widths = tab.evaluate("figures.map(one => one.naturalWidth)")
    assert widths == [7, 0, 0, 0, 0]


def test_nothing_else_is_replaced(tmp_path: Path) -> None:
    """A folder that it did not make is left alone, and a missing one is named."""
    one = site(tmp_path / "one", {"a": ""})
    with pytest.raises(
        FileExistsError, match=r"one must be empty or made by this command: it would be replaced$"
    ):
        changes(one, one, one)
    with pytest.raises(FileNotFoundError, match=r"two must be a folder$"):
        changes(one, tmp_path / "two", tmp_path / "out")
    assert (one / "a" / "index.html").is_file()
