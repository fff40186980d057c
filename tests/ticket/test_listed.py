"""Tickets that runs in one process left: only finished ones, with what their masks are."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from prac import Mask, Ticket
from prac.models.registry import build_model
from prac.ticket.listed import tickets_in


def _ticket(**lineage: object) -> Ticket:
    model = build_model("conv4", num_classes=3, image_shape=(8, 8, 1), seed=0)
    known = {"architecture": "conv4", "num_classes": 3, "image_shape": [8, 8, 1]}
    mask = Mask({n: torch.arange(p.numel()).reshape(p.shape) % 2 > 0
                 for n, p in Mask.dense(model).items()})  # fmt: skip
    return Ticket.of(mask, model.state_dict(), {**known, **lineage})


def test_what_is_being_made_or_deleted_or_elsewhere_is_none(tmp_path: Path) -> None:
    for name in ("a" * 32, ".making-x", ".going-x", "elsewhere"):
        _ticket().save(tmp_path / name / "ticket")
    (tmp_path / "elsewhere").rename(tmp_path.parent / "elsewhere")
    (tmp_path / ("b" * 32)).symlink_to(tmp_path.parent / "elsewhere")
    assert [entry.where for entry in tickets_in(tmp_path)] == [
        str(tmp_path / ("a" * 32) / "ticket")
    ]


def test_sparsity_is_the_mask_s(tmp_path: Path) -> None:
    folder = _ticket(sparsity=0.99, weights_alive=1).save(tmp_path / "a" / "ticket")
    manifest = json.loads((folder / "ticket.json").read_text())
    (found,) = tickets_in(tmp_path)
    assert (found.sparsity, found.weights_alive) == (
        manifest["sparsity"], manifest["weights_alive"],
    )  # fmt: skip
    assert found.sparsity < 0.6
