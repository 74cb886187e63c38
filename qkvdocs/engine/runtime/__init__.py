"""Python for the reader's browser: fetched and checked once, placed beside the pages, and what runs in it."""

from qkvdocs.engine.runtime._pins import Pack, Pin, folder, is_there, megabytes
from qkvdocs.engine.runtime._place import place
from qkvdocs.engine.runtime._run import answer, run_fence, settle, tidy

__all__ = ["Pack", "Pin", "answer", "folder", "is_there", "megabytes", "place", "run_fence", "settle", "tidy"]
