"""A judged ticket whose network can't be traced is kept without MLflow's graph."""

from __future__ import annotations

from pathlib import Path

import pytest

from prac import Mask
from prac.errors import TicketError
from prac.models.registry import build_model
from prac.ticket.format import Ticket
from prac.tracking.models import write_model


def test_a_network_that_cant_be_traced_leaves_its_ticket_as_it_was(tmp_path: Path) -> None:
    name = "support.networks:Branching"
    model = build_model(name, num_classes=2, image_shape=(8, 8, 3), seed=0)
    lineage = {
        "architecture": name,
        "num_classes": 2,
        "image_shape": [8, 8, 3],
        "class_names": ["a", "b"],
        "mean": [0.5] * 3,
        "std": [0.2] * 3,
    }
    weights = {n: t.clone() for n, t in model.state_dict().items()}
    ticket = Ticket.of(Mask.dense(model), weights, lineage, weights)
    folder = ticket.save(tmp_path)
    before = sorted(folder.rglob("*"))
    with pytest.raises(TicketError, match="can't be exported as pt2"):
        write_model(Ticket.load(folder), folder)
    assert sorted(folder.rglob("*")) == before
    Ticket.load(folder).verify()
