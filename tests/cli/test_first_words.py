"""What `prac` alone says is what it takes, and how many threads a small network trains with."""

from __future__ import annotations

import argparse
import re
import shlex

import pytest
import torch

from prac.cli import FIRST_STEPS, build_parser, main
from prac.cli.ticket_use import SMALL, _set_threads
from prac.errors import ConfigError
from prac.pruning.mask import Mask
from prac.ticket.format import Ticket


def test_alone_it_teaches_commands_that_are_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    said = capsys.readouterr().out
    assert said == FIRST_STEPS + "\n"
    assert max(map(len, said.splitlines())) <= 80
    commands = re.findall(r"^  prac (.*?)(?:  .*)?$", said, re.MULTILINE)
    assert len(commands) == 7
    for command in commands:
        assert isinstance(build_parser().parse_args(shlex.split(command)), argparse.Namespace)


@pytest.mark.parametrize(
    ("weights", "asked", "threads"), [(9, None, 1), (9, 2, 2), (SMALL, None, 3), (SMALL, 1, 1)]
)
def test_a_small_network_trains_with_one_thread_unless_asked(
    weights: int, asked: int | None, threads: int
) -> None:
    ticket = Ticket.of(
        Mask({"w": torch.ones(weights, dtype=torch.bool)}), {"w": torch.ones(weights)}, {}
    )
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        _set_threads(ticket, asked)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    with pytest.raises(ConfigError, match="--threads 0 is not allowed"):
        _set_threads(ticket, 0)
