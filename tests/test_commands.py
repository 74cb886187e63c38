"""The command line, before any command is loaded."""

import re

import pytest

from qkvdocs.__main__ import COMMANDS, main


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("", "COMMAND must be one of those below, got ''"),
        ("wildd", "COMMAND must be one of those below, got 'wildd'; did you mean wild?"),
        ("zzz", "COMMAND must be one of those below, got 'zzz'"),
        ("\x1b[2J", "COMMAND must be one of those below, got '\\\\x1b[2J'"),
    ],
)
def test_a_word_that_is_no_command_is_named(
    word: str, first: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the one that was meant, where one is near, and all that there are."""
    assert main([word]) == 2
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert (out, lines[0]) == ("", first)
    assert [line.split()[0] for line in lines[2:]] == list(COMMANDS)


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    """It goes where a pager finds it."""
    assert main(["--help"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert re.match(r"usage: qkvdocs COMMAND", out)
