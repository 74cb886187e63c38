"""What a reader needs to run a fence: the element below it, and the fences above it in a file of their own."""

import json
from pathlib import Path

from qkvdocs.engine.pages._fences import Fence, FenceError
from qkvdocs.engine.pages._parts import fences
from qkvdocs.engine.runtime import Pack, folder, is_there, megabytes, place
from qkvdocs.engine.settings import Settings

KEPT = ("session", "raises")
BLOCK = "<pre"


def element(page: str, number: int) -> str:
    """Write the element that the page's script brings to life.

    Args:
        page: The page's path below `docs/`.
        number: Which of the page's fences that run it is, from 0.

    Returns:
        HTML that shows nothing without a script.
    """
    return (
        f'<div><qkv-run data-page="{_file(page)}" data-fence="{number}"'
        f' data-megabytes="{megabytes()}"></qkv-run></div>'
    )


def beside_figure(figure: str, button: str, line: int) -> str:
    """Put the element below the code of a figure.

    Args:
        figure: What the fence printed.
        button: The element.
        line: Of the fence, for the error.

    Returns:
        The figure with it.

    Raises:
        FenceError: If there is not one block of code.
    """
    if (count := figure.count(BLOCK)) != 1:
        raise FenceError(line, f"run on a figure must have one block of code to run, got {count}")
    before, code = figure.split(BLOCK)
    code, after = code.split("</pre>", 1)
    return f"{before}{BLOCK}{code}</pre>{button}{after}"


def place_all(root: Path, docs: Path, target: Path) -> None:
    """Put the runtime beside the pages, if it was fetched and a page uses it.

    Args:
        root: The folder that the runtime's own is relative to.
        docs: The Markdown files.
        target: The folder to make.

    Raises:
        QKVError: If a file of the runtime is not the one that is meant.
    """
    if not is_there(root / folder()):
        return
    for path in sorted(docs.rglob("*.md")):
        running = [fence for fence in fences(path.read_text("utf-8")) if fence.runs]
        if any("run" in fence.options for fence in running):
            file = target / _file(path.relative_to(docs).as_posix())
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps([_record(fence) for fence in running]), "utf-8")
    packs = [pack for pack in map(Pack.of, Settings.of(docs).packs) if (docs / pack.page).exists()]
    if packs or target.exists():
        place(root / folder(), target, packs, docs)


def _record(fence: Fence) -> dict[str, str]:
    return {"code": fence.code} | {name: fence.options[name] for name in KEPT if name in fence.options}


def _file(page: str) -> str:
    return f"pages/{page.removesuffix('.md')}.json"
