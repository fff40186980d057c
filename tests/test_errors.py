"""What an error says, in one line, of errors that say much, little and nothing."""

from __future__ import annotations

import time

import pytest

from prac.errors import ConfigError, first_line, telling_line, unknown, without_passwords


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("it is broken"), "it is broken"),
        (OSError("\n  no such file \nTraceback\n  more"), "no such file"),
        (TimeoutError(), "TimeoutError"),
        (RuntimeError(" \n "), "RuntimeError"),
        (ValueError("x" * 900), "x" * 300),
        (ValueError("x" * 285 + " http://a:hunter2@b"), "x" * 285 + " http://a:***@b"),
    ],
)
def test_the_first_line_that_says_something(error: Exception, line: str) -> None:
    assert first_line(error) == line


def test_a_name_that_is_nearly_known_is_answered_with_the_one_that_is() -> None:
    told = str(unknown("architecture", "resnet20", ["vgg16", "resnet20s"]))
    assert "did you mean 'resnet20s'?" in told
    assert "did you mean" not in str(unknown("architecture", "quux", ["vgg16", "resnet20s"]))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("at http://joe:pw@x.org/a, then", "at http://joe:***@x.org/a, then"),
        ("http://joe:p@w:q@x.org", "http://joe:***@x.org"),
        ("http://:pw@x.org", "http://:***@x.org"),
        ("two: a://b:pw@c d://e:pw@f", "two: a://b:***@c d://e:***@f"),
        ("s3://bucket/a?access_token=pw&region=x", "s3://bucket/a?access_token=***&region=x"),
        ("http://joe@x.org:5000/a@b", "http://joe@x.org:5000/a@b"),
        ("http://x.org:5000/#/experiments/3@x", "http://x.org:5000/#/experiments/3@x"),
        ("models:/prac-digits@best, mail a:b@c.org", "models:/prac-digits@best, mail a:b@c.org"),
    ],
)
def test_passwords_of_uris_are_told_to_nobody(text: str, told: str) -> None:
    assert without_passwords(text) == told
    assert str(ConfigError(text)) == told


CUDA = """CUDA error: out of memory
CUDA kernel errors might be asynchronously reported at some other API call.
For debugging consider passing CUDA_LAUNCH_BLOCKING=1"""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (CUDA, "CUDA error: out of memory"),
        (
            f'ray::run_stage() (pid=7)\n  File "a.py", line 1, in f\n    f()\nRuntimeError: {CUDA}',
            "RuntimeError: CUDA error: out of memory",
        ),
        ("first\nsecond", "first"),
        ("", ""),
    ],
)
def test_of_many_lines_the_one_that_says_what_happened(text: str, line: str) -> None:
    assert telling_line(text) == line


def test_a_long_word_is_not_a_long_wait() -> None:
    started = time.monotonic()
    for text in ("a" * 200_000, "?" + "token" * 40_000, "a://" * 40_000, "x://u:" + "p" * 200_000):
        without_passwords(text)
        assert len(str(unknown("thing", text, ["some", "names"]))) < 400
    assert time.monotonic() - started < 10
    assert without_passwords("q" * 99 + "http://u:secret@h") == "q" * 99 + "http://u:***@h"
