"""What the report reads of artifacts, against tables and masks drawn by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from prac import Mask
from prac.analysis.evidence import StageFiles, thinned
from prac.analysis.outcome import _evidence
from prac.config.sections import SelectConfig
from prac.data.dataset import ImageDataset
from prac.lottery.compose import build_graph
from prac.lottery.graph import Graph, SearchStages
from prac.lottery.outputs import NEXT_MASK, PREDICTIONS, SET, STATISTICS, Facts, File, Made
from prac.selection.prac_set import PracSet, Reason


def _mask(*alive: int) -> Mask:
    return Mask({"a.weight": torch.tensor(alive).bool(), "b.weight": torch.tensor([1, 0]).bool()})


Files = dict[str, dict[File[Any], Any]]


def _made(graph: Graph, files: Files) -> dict[str, Made]:
    """Stages that left these files, by name; all others left none."""
    return {name: Made(facts=Facts(), files=files.get(name, {})) for name in graph.stages}


def _statistics(forgotten: dict[int, int], never: tuple[int, ...], ids: list[int]) -> pa.Table:
    return pa.table(
        {
            "sample_id": pa.array(ids, pa.int32()),
            "presentations": pa.array([12] * len(ids), pa.int32()),
            "forgotten": pa.array([forgotten.get(i, 0) for i in ids], pa.int32()),
            "first_learned": pa.array([None if i in never else 0 for i in ids], pa.int16()),
            "mean_margin": pa.array([0.0] * len(ids), pa.float32()),
        }
    )


@pytest.fixture
def dataset(toy_data: Callable[..., ImageDataset]) -> ImageDataset:
    return toy_data(20)


@pytest.fixture
def files(dataset: ImageDataset) -> Files:
    """Of conv4: round 0 forgets rows 0, 1, 2 (1, 3 and 11 times), never learns row 6."""
    ids = dataset.training_ids
    other = np.zeros(len(ids), np.int32)
    other[[0, 3]] = 1  # rows 0 and 3

    def predicted(classes: np.ndarray) -> pa.Table:
        return pa.table({"sample_id": ids, "predicted": classes})

    chosen = PracSet.from_reasons({Reason.FORGOTTEN: np.array([0, 1, 2, 6])})
    return {
        "dense:conv4:prac": {
            NEXT_MASK: _mask(1, 1, 1, 0),
            PREDICTIONS: predicted(np.zeros(len(ids), np.int32)),
        },
        "reduce:conv4:prac": {STATISTICS: _statistics({0: 1, 1: 3, 2: 11}, (6,), ids.tolist())},
        "select:conv4:prac:1": {SET: chosen},
        "round:conv4:prac:1": {
            NEXT_MASK: _mask(1, 1, 0, 0),
            PREDICTIONS: predicted(other),
            STATISTICS: _statistics({0: 5}, (6,), [0, 1, 2, 6]),
        },
        "dense:conv4:vanilla": {NEXT_MASK: _mask(0, 1, 1, 1)},
        "round:conv4:vanilla:1": {NEXT_MASK: _mask(0, 0, 1, 1)},
    }


@pytest.fixture
def evidence(request_for: Any, dataset: ImageDataset, files: Files) -> StageFiles:
    """Two rounds of conv4."""
    graph = build_graph(request_for(architectures=("conv4",), rounds=2))
    rows = {
        ("conv4", method, index): SimpleNamespace(
            round=index,
            sparsity=index / 10,
            weights_left=6,
            cet_size=4 if method == "prac" and index else None,
        )
        for method in ("prac", "vanilla", "random-subset")
        for index in range(3)
    }
    return StageFiles(graph, _made(graph, files), dataset, rows)  # type: ignore[arg-type]


def _search(evidence: StageFiles, method: str) -> SearchStages:
    return next(s for s in evidence.graph.searches if s.method == method)


def test_thresholds_by_hand(evidence: StageFiles) -> None:
    found = evidence.thresholds(_search(evidence, "prac"), SelectConfig())
    sizes = {(t.round, t.threshold): (t.set_size, t.cet_size, t.cep_size, t.overlap) for t in found}
    assert sizes == {
        # Round 0 has no pruned model. Rows 0, 1, 2 are forgotten 1, 3, 11 times; row 6 always.
        (1, 0): (4, 4, 0, 0),
        (1, 2): (3, 3, 0, 0),
        (1, 4): (2, 2, 0, 0),
        (1, 6): (2, 2, 0, 0),
        (1, 8): (2, 2, 0, 0),
        (1, 10): (2, 2, 0, 0),
        # Row 0 is forgotten 5 times; the models disagree on rows 0 and 3.
        (2, 0): (3, 2, 2, 1),
        (2, 2): (3, 2, 2, 1),
        (2, 4): (3, 2, 2, 1),
        (2, 6): (3, 1, 2, 0),
        (2, 8): (3, 1, 2, 0),
        (2, 10): (3, 1, 2, 0),
    }
    assert {t.never_learned for t in found} == {1}


def test_a_search_without_events_has_no_thresholds(evidence: StageFiles) -> None:
    assert evidence.thresholds(_search(evidence, "vanilla"), SelectConfig()) == []
    assert evidence.gallery(_search(evidence, "vanilla")) is None


def test_mask_overlaps_by_hand(evidence: StageFiles) -> None:
    found = {
        (m.round, m.method, m.other): (m.overlap, m.chance) for m in evidence.mask_overlaps("conv4")
    }
    # Round 1: 4 of 6 weights are alive in each, three of them in both. Round 2: 3 each, one in
    # both. The random subset's first mask is PrAC's own: they share the dense run.
    assert found[1, "prac", "vanilla"] == pytest.approx((6 / 8, 4 / 6))
    assert found[2, "prac", "vanilla"] == pytest.approx((2 / 6, 3 / 6))
    assert found[1, "prac", "random-subset"][0] == 1.0
    assert (2, "prac", "random-subset") not in found  # it left no mask


def test_large_masks_are_compared_in_some_rounds_and_the_last(
    evidence: StageFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Three searches of 6 weights: 18 bytes a round, so one of the two rounds.
    monkeypatch.setattr("prac.analysis.evidence.MAX_MASK_BYTES", 35)
    assert {m.round for m in evidence.mask_overlaps("conv4")} == {2}
    monkeypatch.setattr("prac.analysis.evidence.MAX_MASK_BYTES", 36)
    assert {m.round for m in evidence.mask_overlaps("conv4")} == {1, 2}


def test_rounds_are_thinned_evenly() -> None:
    assert thinned(16, 16) == list(range(1, 17))
    assert thinned(16, 4) == [4, 8, 12, 16]
    assert thinned(16, 1) == [16]
    assert thinned(7, 3) == [2, 5, 7]
    assert thinned(0, 3) == []


def test_classes_by_hand(evidence: StageFiles, dataset: ImageDataset) -> None:
    found = evidence.classes(_search(evidence, "prac"))
    labels = dataset.train_labels.tolist()
    inside = [labels[i] for i in (0, 1, 2, 6)]
    training = [labels[i] for i in range(20) if i % 5 != 4]
    assert [(c.round, c.label) for c in found] == [(1, "a"), (1, "b"), (1, "c")]
    assert [c.samples for c in found] == [inside.count(k) for k in range(3)]
    assert [c.share for c in found] == pytest.approx([inside.count(k) / 4 for k in range(3)])
    assert [c.of_training for c in found] == pytest.approx(
        [training.count(k) / 16 for k in range(3)]
    )


def test_the_gallery_knows_the_dense_prediction(evidence: StageFiles) -> None:
    search = _search(evidence, "prac")
    gallery = evidence.gallery(search)
    assert gallery is not None
    assert [s.sample_id for s in gallery.never_learned()] == [6]
    assert gallery.never_learned()[0].predicted == "a"
    one_set = dataclasses.replace(search, samples=search.samples[:1])
    inside = [s.sample_id for s in evidence.last_samples(one_set, gallery) if s.inside]
    assert inside == [0, 1, 2, 6]


def test_layers_of_the_last_mask(evidence: StageFiles) -> None:
    """Drawn by hand: of a's four weights and b's two."""
    found = [layer for search in evidence.graph.searches for layer in evidence.layers(search)]
    told = {(each.method, each.layer): (each.alive, each.weights, each.round) for each in found}
    assert told["prac", "a.weight"] == (2, 4, 2)
    assert told["prac", "b.weight"] == (1, 2, 2)
    assert told["vanilla", "a.weight"] == (2, 4, 2)
    assert ("random-subset", "a.weight") not in told  # it left none here


def test_who_recorded_events_is_told_apart_from_who_never_learned_none(
    files: Files, request_for: Any, dataset: ImageDataset
) -> None:
    """`resnet8` takes the sets of `conv4`: it recorded nothing, and nothing is claimed of it."""
    request = request_for(architectures=("conv4", "resnet8"), rounds=2, transfer_from="conv4")
    graph = build_graph(request)
    rows = {
        (name, method, k): SimpleNamespace(
            round=k, sparsity=k / 10, weights_left=6, cet_size=4 if k else None
        )
        for name in ("conv4", "resnet8")
        for method in ("prac", "vanilla", "random-subset")
        for k in range(3)
    }
    chosen = PracSet.from_reasons({Reason.FORGOTTEN: np.array([1, 6])})
    made = _made(graph, {**files, "select:conv4:prac:2": {SET: chosen}})
    both = StageFiles(graph, made, dataset, rows)  # type: ignore[arg-type]
    found = _evidence(both, request.recipe)
    assert found["recorded"] == ("conv4",)
    assert [(s.architecture, s.sample_id) for s in found["never_learned"]] == [("conv4", 6)]
