"""In a terminal of 80 columns nothing is wider, and no name is in pieces: commands over a store
that is made here, as a person runs them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import struct
import sys
import termios
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

from prac.cli import main

COLUMNS = 80
TINY = ("--architectures", "conv4", "--epochs", "1", "--rounds", "1", "--gpus", "0")
RUN = ("run", "--executor", "local", *TINY)
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x1b\x07]*(?:\x07|\x1b\\)")


def _printed(home: Path, *words: str) -> list[str]:
    """The lines that `prac WORDS` leaves on such a terminal."""
    # Python's own helper outlives the command that starts it first: with this terminal, which then
    # would never be closed.
    resource_tracker.ensure_running()
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    with ThreadPoolExecutor(1) as reader:
        raw = reader.submit(_all_of, ours)
        # Rich asks the descriptors themselves how wide they are.
        with pytest.MonkeyPatch.context() as patch, _descriptors(theirs), contextlib.chdir(home):
            for name in ("COLUMNS", "LINES", "MLFLOW_TRACKING_URI"):
                patch.delenv(name, raising=False)
            patch.setenv("TERM", "xterm")
            with open(os.dup(theirs), "w") as terminal:
                patch.setattr(sys, "stdout", terminal)
                patch.setattr(sys, "stderr", terminal)
                status = main(words)
        text = ESCAPES.sub("", raw.result().decode()).replace("\r\n", "\n")
    os.close(ours)
    assert status == 0, text
    # A bar is drawn again over itself.
    return [piece for line in text.split("\n") for piece in line.split("\r")]


@contextlib.contextmanager
def _descriptors(terminal: int) -> Iterator[None]:
    """stdout and stderr of this process are this terminal, which is closed at the end."""
    kept = [(number, os.dup(number)) for number in (1, 2)]
    for number, _ in kept:
        os.dup2(terminal, number)
    try:
        yield
    finally:
        os.close(terminal)
        for number, copy in kept:
            os.dup2(copy, number)
            os.close(copy)


def _all_of(terminal: int) -> bytes:
    raw = b""
    with contextlib.suppress(OSError):  # Linux' way to say that nobody has the other end
        while piece := os.read(terminal, 65536):
            raw += piece
    return raw


def _fits(lines: list[str]) -> None:
    assert [line for line in lines if len(line) > COLUMNS] == []


@pytest.fixture(scope="module")
def tickets(ticket_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(ticket_home, tmp_path_factory.mktemp("eighty") / "home"))


def test_the_list_of_tickets(tickets: Path) -> None:
    lines = _printed(tickets, "tickets", "list")
    _fits(lines)
    names = [line for line in lines if line.startswith("prac-digits-")]
    assert sorted(names) == [
        *(f"prac-digits-resnet8/{n}" for n in (1, 2, 3)),
        "prac-digits-vgg8s/1",
    ]


@pytest.mark.parametrize("name", ["prac-digits-resnet8/1", "prac-digits-vgg8s@best"])
def test_a_ticket(tickets: Path, name: str) -> None:
    lines = _printed(tickets, "tickets", "show", name)
    _fits(lines)
    assert any("models:/prac-digits-" in line for line in lines)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    home = tmp_path_factory.mktemp("ran")
    return home, _printed(home, *RUN)


def test_a_run_and_the_same_again(ran: tuple[Path, list[str]]) -> None:
    home, first = ran
    again = _printed(home, *RUN)
    for lines in (first, again):
        _fits(lines)
        told = "\n".join(lines)
        assert "conv4: choosing the samples: " in told
        # Whole, to be copied.
        (page,) = re.findall(r"^report +(\S+report\.html)$", told, re.M)
        assert (home / page).is_file()
        assert "tickets  prac-runs/stages" in lines
    assert "every stage is cached: nothing was trained" in again


def test_its_plan_and_the_list_of_pipelines(ran: tuple[Path, list[str]]) -> None:
    home, _ = ran
    _fits(_printed(home, *RUN, "--plan"))
    _fits(_printed(home, "run", "--executor", "local", "--plan"))
    lines = _printed(home, "pipelines", "list")
    _fits(lines)
    assert any("conv4; prac, vanilla, random-subset" in line for line in lines)
