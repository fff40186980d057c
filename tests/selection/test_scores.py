"""Scores against small computations by hand: loops, closed forms."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterator

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prac.config.sections import SCORES as NAMES
from prac.config.strategies import DivergenceOptions, EventsOptions, WindowOptions
from prac.errors import ConfigError
from prac.events.schema import EVENT_SCHEMA, event_columns
from prac.selection.samplers import SAMPLERS, Draw
from prac.selection.scores import SCORES, Evidence, Scorer, find_score, scorer

IDS = np.array([2, 3, 7], np.int32)
LABELS = np.array([0, 1, 1])
# By epoch, then sample: three epochs of three samples.
MARGINS = [[2.0, -1.0, 0.5], [3.0, 1.0, -0.5], [4.0, -2.0, 0.25]]
EL2N = [[0.5, 1.0, 0.75], [0.25, 0.5, 1.0], [0.0, 1.25, 0.5]]


def batches(epochs: int | None) -> Iterator[pa.RecordBatch]:
    for epoch in range(3 if epochs is None else min(epochs, 3)):
        table = pa.table(
            {
                "round": np.zeros(3, np.int16),
                "epoch": np.full(3, epoch, np.int16),
                "sample_id": IDS,
                "correct": np.array(MARGINS[epoch]) > 0,
                "margin": np.array(MARGINS[epoch], np.float16),
                "el2n": np.array(EL2N[epoch], np.float16),
            },
            schema=EVENT_SCHEMA,
        )
        yield from table.to_batches()


def evidence(**more: object) -> Evidence:
    return Evidence(sample_ids=IDS, labels=LABELS, num_classes=2, seed=(0, 1), **more)  # type: ignore[arg-type]


def test_the_names_of_the_configuration_are_those_that_there_are() -> None:
    assert ("critical", *SCORES) == NAMES


def test_el2n_is_the_mean_over_epochs() -> None:
    scores = SCORES["el2n"](evidence(events=batches))
    assert scores.tolist() == pytest.approx([0.25, 2.75 / 3, 0.75])
    early = SCORES["el2n"](evidence(events=batches), EventsOptions(score_epochs=2))
    assert early.tolist() == pytest.approx([0.375, 0.75, 0.875])


def test_margin_ranks_the_smallest_area_first() -> None:
    scores = SCORES["margin"](evidence(events=batches))
    assert scores.tolist() == pytest.approx([-3.0, 2 / 3, -0.25 / 3])
    assert np.argsort(-scores).tolist() == [1, 2, 0]


def test_forgets_of_a_small_table() -> None:
    """Right or wrong by epoch: forgotten twice; never learned; learned late and kept; once."""
    story = {4: "+-+-", 5: "----", 6: "---+", 9: "++-+"}

    def events(epochs: int | None) -> Iterator[pa.RecordBatch]:
        for epoch in range(4 if epochs is None else epochs):
            right = [row[epoch] == "+" for row in story.values()]
            columns = {"round": [0] * 4, "epoch": [epoch] * 4, "sample_id": list(story),
                       "correct": right, "margin": [0.0] * 4, "el2n": [0.0] * 4}  # fmt: skip
            yield pa.RecordBatch.from_pydict(columns, schema=EVENT_SCHEMA)

    table = Evidence(
        sample_ids=np.array(list(story), np.int32),
        labels=np.zeros(4, np.int64),
        num_classes=2,
        seed=(0, 0),
        events=events,
    )
    assert SCORES["forgets"](table).tolist() == [2, 3, 0, 1]
    # Two epochs: one was forgotten once, two were not learned.
    early = SCORES["forgets"](table, EventsOptions(score_epochs=2))
    assert early.tolist() == [1, 2, 2, 0]


@pytest.mark.parametrize(("window", "epochs"), [(2, None), (3, None), (2, 2)])
def test_dual_is_difficulty_times_uncertainty_by_windows(window: int, epochs: int | None) -> None:
    select = WindowOptions(window=window, score_epochs=epochs)
    scores = SCORES["dual"](evidence(events=batches), select)
    for sample in range(3):
        story = [1 / (1 + math.exp(-row[sample])) for row in MARGINS][: epochs or 3]
        parts = [
            (1 - statistics.mean(story[k : k + window])) * statistics.stdev(story[k : k + window])
            for k in range(len(story) - window + 1)
        ]
        assert scores[sample] == pytest.approx(statistics.mean(parts), rel=1e-9)


@pytest.mark.parametrize(("window", "epochs"), [(2, None), (3, None), (2, 2)])
def test_dyn_unc_is_uncertainty_by_windows(window: int, epochs: int | None) -> None:
    select = WindowOptions(window=window, score_epochs=epochs)
    scores = SCORES["dyn-unc"](evidence(events=batches), select)
    for sample in range(3):
        story = [1 / (1 + math.exp(-row[sample])) for row in MARGINS][: epochs or 3]
        parts = [statistics.stdev(story[k : k + window]) for k in range(len(story) - window + 1)]
        assert scores[sample] == pytest.approx(statistics.mean(parts), rel=1e-9)


def trajectories(num_classes: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Logits of 30 epochs, (3000, K) each: classes that resemble a sample's own, which it learns
    sooner or later, and noise."""
    generator = np.random.default_rng(7)
    count, epochs = 3000, 30
    labels = generator.integers(0, num_classes, count)
    resembles = generator.normal(0, 1.5, (count, num_classes))
    speed = generator.gamma(2, 2, count)
    made = []
    for epoch in range(epochs):
        logits = resembles + generator.normal(0, 1, (count, num_classes))
        logits[np.arange(count), labels] += 2 * speed * (epoch + 1) / epochs
        made.append(torch.from_numpy(logits))
    return made, torch.from_numpy(labels)


def recorded(logits: list[torch.Tensor], labels: torch.Tensor, num_classes: int) -> Evidence:
    """What events hold of them, by epoch."""

    def events(epochs: int | None) -> Iterator[pa.RecordBatch]:
        for made in logits[:epochs]:
            _, margin, el2n = event_columns(made, labels)
            columns = {"margin": margin.numpy(), "el2n": el2n.numpy()}
            yield pa.RecordBatch.from_pydict(columns)

    return Evidence(
        sample_ids=np.arange(len(labels), dtype=np.int32),
        labels=labels.numpy(),
        num_classes=num_classes,
        seed=(0, 1),
        events=events,
    )


def dual_by_hand(true: np.ndarray, window: int) -> np.ndarray:
    """true: (epochs, N) probabilities of the true class."""
    parts = [true[k : k + window] for k in range(len(true) - window + 1)]
    return np.mean([(1 - p.mean(axis=0)) * p.std(axis=0, ddof=1) for p in parts], axis=0)


def likeness(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """The rank correlation, and how much of the first 30 % is the same."""
    ranks = [np.argsort(np.argsort(scores)) for scores in (one, other)]
    first = round(0.3 * len(one))
    tops = [set(np.argsort(-scores)[:first].tolist()) for scores in (one, other)]
    return float(np.corrcoef(*ranks)[0, 1]), len(tops[0] & tops[1]) / first


def dyn_unc_by_hand(true: np.ndarray, window: int) -> np.ndarray:
    """true: (epochs, N) probabilities of the true class."""
    parts = [true[k : k + window] for k in range(len(true) - window + 1)]
    return np.mean([p.std(axis=0, ddof=1) for p in parts], axis=0)


@pytest.mark.parametrize(
    ("score", "by_hand", "num_classes", "correlation", "overlap"),
    [
        ("dual", dual_by_hand, 2, 0.9999, 0.99),
        ("dual", dual_by_hand, 3, 0.999, 0.98),
        ("dual", dual_by_hand, 10, 0.99, 0.93),
        ("dual", dual_by_hand, 100, 0.99, 0.93),
        ("dyn-unc", dyn_unc_by_hand, 2, 0.9999, 0.99),
        ("dyn-unc", dyn_unc_by_hand, 3, 0.998, 0.97),
        ("dyn-unc", dyn_unc_by_hand, 10, 0.98, 0.93),
        ("dyn-unc", dyn_unc_by_hand, 100, 0.98, 0.93),
    ],
)
def test_scores_of_recorded_events_rank_as_the_true_probabilities_do(
    score: str,
    by_hand: Callable[[np.ndarray, int], np.ndarray],
    num_classes: int,
    correlation: float,
    overlap: float,
) -> None:
    logits, labels = trajectories(num_classes)
    true = np.stack([z.softmax(1).gather(1, labels[:, None])[:, 0].numpy() for z in logits])
    expected = by_hand(true, 10)
    scores = SCORES[score](recorded(logits, labels, num_classes), WindowOptions(window=10))
    got = likeness(scores, expected)
    assert got[0] > correlation
    assert got[1] > overlap
    # The margin alone is not enough, where there are more than two classes.
    if score == "dual" and num_classes >= 10:
        margins = np.stack([event_columns(z, labels)[1].double().sigmoid().numpy() for z in logits])
        alone = likeness(by_hand(margins, 10), expected)
        assert alone[0] < 0.92
        assert alone[1] < 0.8


@pytest.mark.parametrize("name", ["dual", "dyn-unc"])
def test_fewer_epochs_than_a_window_has(name: str) -> None:
    short, exact = (
        SCORES[name](evidence(events=batches), WindowOptions(window=window)) for window in (10, 3)
    )
    assert short.tolist() == pytest.approx(exact.tolist(), rel=1e-12)
    for epochs in (0, 1):
        said = f"{name} needs 2 recorded epochs of round 0; there are {epochs}"
        with pytest.raises(ConfigError, match=said):
            SCORES[name](evidence(events=lambda _, n=epochs: batches(n)))


def tdds_by_hand(shares: np.ndarray, window: int) -> np.ndarray:
    """shares: (epochs, N, K) probabilities of all classes."""
    made = []
    for sample in range(shares.shape[1]):
        story = shares[:, sample]
        moved = [
            sum(abs(new * math.log(new / old)) for old, new in zip(*pair, strict=True))
            for pair in itertools.pairwise(story.tolist())
        ]
        score = 0.0
        for start in range(len(moved) - window + 2):
            part = moved[start : start + window - 1]
            score = 0.1 * score + 0.9 * math.dist(part, [statistics.mean(part)] * len(part))
        made.append(score)
    return np.array(made)


@pytest.mark.parametrize("window", [3, 4, 10])
def test_tdds_of_two_classes_is_that_of_the_full_probabilities(window: int) -> None:
    logits, labels = trajectories(2)
    logits = [z[:200].half().double() for z in logits]
    scores = SCORES["tdds"](recorded(logits, labels[:200], 2), DivergenceOptions(window=window))
    expected = tdds_by_hand(torch.stack(logits).softmax(2).numpy(), window)
    np.testing.assert_allclose(scores, expected, rtol=0.02, atol=1e-3)


def test_tdds_of_one_rival_among_equals_is_that_of_the_full_probabilities() -> None:
    generator = np.random.default_rng(0)
    logits = np.zeros((12, 50, 10))
    logits[:, :, 3] = np.abs(generator.normal(0, 1, (12, 50)))
    logits[:, :, 0] = logits[:, :, 3] + np.abs(generator.normal(0, 1, (12, 50))) + 0.01
    events = recorded(list(torch.from_numpy(logits)), torch.zeros(50, dtype=torch.int64), 10)
    scores = SCORES["tdds"](events, DivergenceOptions(window=5))
    expected = tdds_by_hand(torch.from_numpy(logits).softmax(2).numpy(), 5)
    np.testing.assert_allclose(scores, expected, rtol=0.02, atol=5e-3)


def test_tdds_of_many_classes_is_rough() -> None:
    logits, labels = trajectories(10)
    logits, labels = [z[:600] for z in logits], labels[:600]
    scores = SCORES["tdds"](recorded(logits, labels, 10), DivergenceOptions(window=5))
    expected = tdds_by_hand(torch.stack(logits).softmax(2).numpy(), 5)
    correlation, overlap = likeness(scores, expected)
    assert correlation > 0.5
    assert overlap > 0.5


def test_tdds_needs_two_divergences() -> None:
    one = SCORES["tdds"](evidence(events=batches), DivergenceOptions(window=3))
    assert SCORES["tdds"](evidence(events=batches)).tolist() == one.tolist()
    for epochs in (0, 2):
        said = f"tdds needs 3 recorded epochs of round 0; there are {epochs}"
        with pytest.raises(ConfigError, match=said):
            SCORES["tdds"](evidence(events=lambda _, n=epochs: batches(n)))
    with pytest.raises(ConfigError, match=r"select.window 2 .* 3 or more epochs for tdds"):
        DivergenceOptions(window=2)


def test_a_run_that_diverged_has_a_tdds_still() -> None:
    columns = [{"margin": np.array([m, 0.0], np.float16), "el2n": np.array([e, 1.0], np.float16)}
               for m, e in [(65504, 0), (-65504, 2**0.5), (65504, 0), (0, 0)]]  # fmt: skip
    found = Evidence(
        sample_ids=IDS[:2], labels=LABELS[:2], num_classes=10, seed=(0, 1),
        events=lambda _: (pa.RecordBatch.from_pydict(each) for each in columns),
    )  # fmt: skip
    scores = SCORES["tdds"](found)
    assert scores[0] > scores[1] >= 0


@given(st.lists(st.lists(st.floats(0, 1), min_size=4, max_size=4), min_size=3, max_size=3))
@settings(max_examples=50)
def test_entropy_in_closed_form(rows: list[list[float]]) -> None:
    weights = np.array(rows) + 1e-6
    probabilities = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    scores = SCORES["entropy"](evidence(probabilities=lambda: probabilities))
    for score, row in zip(scores, probabilities.tolist(), strict=True):
        assert score == pytest.approx(-sum(p * math.log(p) for p in row if p > 0), abs=1e-6)
        assert -1e-6 <= score <= math.log(4) + 1e-6


def test_a_sure_prediction_has_no_entropy() -> None:
    probabilities = np.array([[1, 0], [0.5, 0.5], [0, 1]], np.float32)
    for name in ("entropy", "proxy"):
        scores = SCORES[name](evidence(probabilities=lambda: probabilities))
        assert scores.tolist() == pytest.approx([0, math.log(2), 0])


def test_scores_without_their_evidence_say_so() -> None:
    for name in ("el2n", "margin", "dual", "dyn-unc", "tdds", "forgets"):
        with pytest.raises(ConfigError, match="reads no events"):
            SCORES[name](evidence())
    with pytest.raises(ConfigError, match="reads no model"):
        SCORES["entropy"](evidence())


def test_a_score_of_ones_own_is_checked() -> None:
    @scorer(reads="nothing")
    def short(evidence: Evidence, options: object) -> np.ndarray:
        return np.zeros(2)

    @scorer(reads="nothing")
    def endless(evidence: Evidence, options: object) -> np.ndarray:
        return np.array([0, np.nan, 1])

    with pytest.raises(ConfigError, match=r"shape \(2,\) for 3 samples"):
        short(evidence())
    with pytest.raises(ConfigError, match="not finite"):
        endless(evidence())
    with pytest.raises(ConfigError, match="allowed: nothing, events, model, proxy"):
        Scorer(endless.function, "weights")  # type: ignore[arg-type]
    assert endless.as_method("a.b:endless").selects == "a.b:endless"


def test_names_that_are_no_scores() -> None:
    with pytest.raises(ConfigError, match=r"known: .*dual, dyn-unc, el2n"):
        find_score("nope")
    with pytest.raises(ConfigError, match="can't be imported"):
        find_score("no.such:thing")
    with pytest.raises(ConfigError, match="has no 'thing'"):
        find_score("json:thing")
    with pytest.raises(ConfigError, match=r"decorated with prac.selection.scores.scorer"):
        find_score("json:dumps")


@pytest.mark.parametrize("kind", [np.uint8, np.uint64, np.int8, np.float32])
def test_scores_of_any_number_are_ranked_alike(kind: type[np.generic]) -> None:
    """Minus an unsigned 0 is 0, which would come before all others."""

    @scorer(reads="nothing")
    def given(evidence: Evidence, options: object) -> np.ndarray:
        return np.array([0, 3, 1], kind)

    scores = given(evidence())
    case = Draw(
        scores=scores, labels=LABELS, size=2, options=None, generator=np.random.default_rng()
    )
    assert scores.dtype == np.float64
    assert SAMPLERS["top"](case).tolist() == [1, 2]
