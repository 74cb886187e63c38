"""Python for the reader's browser: fetched and checked once, placed beside the pages, and what runs in it."""

from qkvdocs.runtime._pins import Pin, folder, is_there, megabytes
from qkvdocs.runtime._place import place
from qkvdocs.runtime._run import answer, run_fence, settle, tidy

__all__ = ["Pin", "answer", "folder", "is_there", "megabytes", "place", "run_fence", "settle", "tidy"]
