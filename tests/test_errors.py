"""What an error says, in one line, of errors that say much, little and nothing."""

from __future__ import annotations

import pytest

from prac.errors import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("it is broken"), "it is broken"),
        (OSError("\n  no such file \nTraceback\n  more"), "no such file"),
        (TimeoutError(), "TimeoutError"),
        (RuntimeError(" \n "), "RuntimeError"),
        (ValueError("x" * 900), "x" * 300),
    ],
)
def test_the_first_line_that_says_something(error: Exception, line: str) -> None:
    assert first_line(error) == line
