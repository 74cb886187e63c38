"""One test for each fence that runs: `pytest docs/lessons/04-qkv-projections.md:57`; and one for all that a page shows.

A page runs once; selecting one fence runs the page it stands on, since later fences need earlier ones. What it
shows is held against `tests/ledger/`, where a project has that folder.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qkvdocs.engine.checks._ledger import FOLDER, difference
from qkvdocs.engine.pages import Fence, FenceError, LessonError, Mode, Page, fences, run_page

AT_LINE = re.compile(r"(.+\.md):(\d+)$")


def pytest_load_initial_conftests(args: list[str]) -> None:
    """Let a test be asked for by `page.md:line`, as messages name it."""
    args[:] = [AT_LINE.sub(r"\1::\2", arg) for arg in args]


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> "PageFile | None":
    """Collect the pages of the site."""
    docs = parent.config.rootpath / "docs"
    if file_path.suffix == ".md" and docs in file_path.parents:
        return PageFile.from_parent(parent, path=file_path)
    return None


class PageFile(pytest.File):
    """A page."""

    outcome: Page | LessonError | None = None

    def collect(self) -> Iterator[pytest.Item]:
        """List the fences that are marked to run."""
        name = self.path.relative_to(self.config.rootpath).as_posix()
        try:
            for fence in fences(self.path.read_text("utf-8")):
                if fence.runs:
                    line = fence.line + 1
                    yield FenceItem.from_parent(self, name=str(line), nodeid=f"{name}:{line}", fence=fence)
            if (self.config.rootpath / FOLDER).is_dir():
                yield LedgerItem.from_parent(self, name="ledger", nodeid=f"{name}::ledger")
        except FenceError as error:
            raise FenceFailedError(f"{name}:{error.line + 1}: FenceError: {error}") from None

    def run(self) -> Page | LessonError:
        """Run the page, once."""
        if self.outcome is None:
            try:
                self.outcome = run_page(self.path, self.config.rootpath, mode=Mode(trace=True))
            except LessonError as error:
                self.outcome = error
        return self.outcome


class PageItem(pytest.Item):
    """A test of a page, whose error is that of the lesson and not the way through this plugin."""

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Show the message alone."""
        if isinstance(excinfo.value, FenceFailedError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)


class LedgerItem(PageItem):
    """What a page shows; it passes if a review has seen it."""

    def runtest(self) -> None:
        """Hold outputs and values against the ledger."""
        assert isinstance(self.parent, PageFile)  # noqa: S101
        outcome = self.parent.run()
        if isinstance(outcome, LessonError):
            raise FenceFailedError(str(outcome))
        if moved := difference(self.config.rootpath, self.path, outcome):
            raise FenceFailedError(f"{moved}\nIf the page is right: qkvdocs ledger --update")


class FenceItem(PageItem):
    """A fence; it passes if it ran, every line of it, without an error."""

    def __init__(self, fence: Fence, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fence = fence

    def runtest(self) -> None:
        """Hold the page's outcome against this fence's lines."""
        assert isinstance(self.parent, PageFile)  # noqa: S101
        outcome = self.parent.run()
        first, last = self.fence.line + 1, self.fence.end + 1
        if isinstance(outcome, LessonError):
            if outcome.line < first:
                raise FenceFailedError(f"{self.nodeid}: never ran: the page stopped at line {outcome.line}")
            following = [item.fence.line + 1 for item in self.parent.collect() if isinstance(item, FenceItem)]
            if outcome.line < min((line for line in following if line > first), default=outcome.line + 1):
                raise FenceFailedError(str(outcome))
        elif first not in [entry.line for entry in outcome.entries if entry.fence]:
            raise FenceFailedError(f"{self.nodeid}: never ran")
        elif missed := [line for line in outcome.missed if first < line < last]:
            raise FenceFailedError(f"{self.nodeid}: these lines of the file never ran: {missed}")

    def reportinfo(self) -> tuple[Path, int, str]:
        """Name the fence as the engine does."""
        return self.path, self.fence.line, f"fence {self.nodeid}"


class FenceFailedError(Exception):
    """A fence failed; the message is all there is to say."""
