"""Run code as a reader would who pastes it, block by block, into an empty session."""

import contextlib
import io
import os
import signal
import types
import warnings
from collections.abc import Sequence

from tests.project import ROOT

PRELOAD = ["numpy", "qkvdocs.core", "qkvdocs.clinic", "qkvdocs.wild", "qkvdocs.figures", __name__]
Block = tuple[int, str, str]
"""Its line, its code, and the error that it must end with, if any."""


def failures(blocks: Sequence[Block]) -> list[str]:
    """Run all blocks in one namespace, with numpy and Python as they come, and tell what goes wrong.

    Returns:
        A line for each block that fails, or that does not fail where it must.
    """
    os.chdir(ROOT)
    signal.alarm(120)  # whatever hangs ends
    session, told = vars(types.ModuleType("__main__")), []
    for line, code, error in blocks:
        found = None
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("error")
            try:
                exec(compile(code, f"block at line {line}", "exec"), session)
            except Exception as raised:
                # plain numpy warns where the site's settings raise
                found = "FloatingPointError" if isinstance(raised, RuntimeWarning) else type(raised).__name__
                if found != error:
                    told.append(f"{line}: {found}: {raised}")
        if error and not found:
            told.append(f"{line}: no {error}")
    return told
