"""`prac connectivity` on a recipe and on a ticket, in seconds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from prac import Mask, global_magnitude
from prac.models.registry import build_model
from prac.pruning.prunable import prunable_weights
from prac.ticket.format import Ticket

SHORT = ("--epochs", "2", "--points", "3")


@pytest.fixture
def ticket(tmp_path: Path) -> str:
    """A ticket of the digits from random weights, half of them pruned."""
    model = build_model("resnet8", num_classes=10, image_shape=(8, 8, 1), seed=0)
    mask = global_magnitude(prunable_weights(model), Mask.dense(model), 0.5)
    lineage = {
        "architecture": "resnet8",
        "num_classes": 10,
        "image_shape": [8, 8, 1],
        "recipe": "digits",
        "rewind": "epoch:1",
    }
    Ticket.of(mask, model.state_dict(), lineage).save(tmp_path / "ticket")
    return str(tmp_path / "ticket")


def test_a_row_for_each_rewind_point(command) -> None:
    status, out, _ = command("connectivity", *SHORT, "--rewinds", "init,step:5", "--json")
    assert status == 0
    found = json.loads(out.splitlines()[-1])
    assert found["architecture"] == "resnet8"
    assert list(found["lines"]) == ["init", "step:5"]
    for line in found["lines"].values():
        errors = line["training_errors"]
        assert len(errors) == 3
        barrier = max(errors) - (errors[0] + errors[2]) / 2
        assert line["training_barrier"] == pytest.approx(barrier)
        assert line["stable"] == (max(barrier, line["validation_barrier"]) < 0.02)


def test_a_recipe_that_rewinds_no_weights_is_looked_at_from_the_first(command) -> None:
    status, out, err = command(
        "connectivity", *SHORT, "--set", "search.rewind=learning-rate", "--json"
    )
    assert (status, err) == (0, "")
    assert list(json.loads(out.splitlines()[-1])["lines"]) == ["init"]


def test_a_ticket_has_one_line(command, ticket: str) -> None:
    status, out, _ = command("connectivity", ticket, *SHORT)
    assert status == 0
    assert "epoch:1, 50.0% sparse" in out
    assert "training barrier" in out


def test_mistakes_are_one_line(command, ticket: str) -> None:
    for words, said in (
        (("--points", "2"), "--points 2 is not allowed"),
        (("--rewinds", "epoch"), "search.rewind 'epoch' is not allowed"),
        (("--rewinds", "epoch:99"), "past the budget; allowed: up to epoch:16"),
        (("--rewinds", "learning-rate"), "learning-rate rewinds no weights"),
        ((ticket, "--rewinds", "init"), "a ticket has its own network"),
    ):
        status, _, err = command("connectivity", *words)
        assert (status, err.count("\n")) == (2, 1), err
        assert said in err
