"""What an error says, in one line, of errors that say much, little and nothing."""

from __future__ import annotations

import pytest

from prac.errors import first_line, unknown


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


def test_a_name_that_is_nearly_known_is_answered_with_the_one_that_is() -> None:
    told = str(unknown("architecture", "resnet20", ["vgg16", "resnet20s"]))
    assert "did you mean 'resnet20s'?" in told
    assert "did you mean" not in str(unknown("architecture", "quux", ["vgg16", "resnet20s"]))
