"""The early-bird stop against the rule read literally over the whole history, and golden stops."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prac import EarlyBird
from prac.errors import ConfigError
from prac.pruning.replay import RecordedRound, replay_stop

EPS = 0.08
DISTANCES = st.lists(st.sampled_from([0.0, 0.05, 0.0799, EPS, 0.0801, 0.3, 1.0]), max_size=30)
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "stop_epochs.json").read_text())


def by_definition(
    distances: list[float], patience: int, at_once: bool, warmup: int, eps: float = EPS
) -> list[bool]:
    """For every epoch from 1 on, whether its window is full of distances below eps."""
    of_epoch = dict(enumerate(distances, 1))  # epoch 0 has a mask and no distance yet

    def armed(epoch: int) -> bool:
        return at_once or any(of_epoch[e] > eps for e in of_epoch if e <= epoch)

    stops = []
    for now in of_epoch:
        entries = [of_epoch[e] for e in of_epoch if warmup < e <= now and armed(e)]
        stops.append(len(entries) >= patience and all(d < eps for d in entries[-patience:]))
    return stops


@given(DISTANCES, st.integers(1, 6), st.booleans(), st.integers(0, 20))
@settings(max_examples=300)
def test_against_the_whole_history(distances, patience: int, at_once: bool, warmup: int) -> None:
    bird = EarlyBird(EPS, patience, record_at_once=at_once, warmup_epochs=warmup)
    stops = [bird.update(distance) for distance in distances]
    assert stops == by_definition(distances, patience, at_once, warmup)


@given(DISTANCES, st.integers(1, 6), st.booleans(), st.integers(0, 20), st.integers(0, 30))
@settings(max_examples=200)
def test_going_on_from_a_checkpoint_changes_nothing(
    distances, patience: int, at_once: bool, warmup: int, cut: int
) -> None:
    def bird() -> EarlyBird:
        return EarlyBird(EPS, patience, record_at_once=at_once, warmup_epochs=warmup)

    first, resumed = bird(), bird()
    stops = [first.update(distance) for distance in distances[:cut]]
    resumed.restore(json.loads(json.dumps(first.state())))
    stops += [resumed.update(distance) for distance in distances[cut:]]
    assert stops == by_definition(distances, patience, at_once, warmup)


@pytest.mark.parametrize("case", GOLDEN, ids=[case["name"] for case in GOLDEN])
def test_golden_stops(case) -> None:
    rule = {"patience": case["patience"], "record_at_once": case["record_at_once"]}
    bird = EarlyBird(case["tolerance"], warmup_epochs=case["warmup_epochs"], **rule)
    stops = [bird.update(distance) for distance in case["distances"]]
    # Epochs counted from 0: the first distance is that of epoch 1, the second to be done.
    assert (stops.index(True) + 2 if any(stops) else None) == case["stop_epochs"]

    epochs = len(stops) + 1
    recorded = RecordedRound(
        distances=tuple(case["distances"]),
        epochs=epochs,
        budget_epochs=epochs,
        steps_per_epoch=1,
        warmup_epochs=case["warmup_epochs"],
    )
    replayed = replay_stop(recorded, tolerance=case["tolerance"], **rule)
    assert replayed.epochs == (case["stop_epochs"] or epochs)
    assert replayed.stopped == any(stops)


def test_fifteen_epochs_of_warm_up_end_after_twenty_one_at_the_earliest() -> None:
    bird = EarlyBird(EPS, warmup_epochs=15)
    # Armed in the warm-up, quiet ever since: the window begins with epoch 16.
    stops = [bird.update(distance) for distance in (0.3, *[0.01] * 30)]
    assert stops.index(True) + 2 == 21
    without = EarlyBird(EPS, record_at_once=True)
    assert [without.update(0.01) for _ in range(5)].index(True) + 2 == 6


def test_by_hand() -> None:
    bird = EarlyBird(0.07)
    quiet = [bird.update(0.01) for _ in range(20)]
    assert not any(quiet)  # nothing has moved yet
    assert [bird.update(d) for d in (0.5, 0.06, 0.05, 0.04, 0.03)] == [False] * 5
    assert bird.update(0.02)
    assert bird.update(0.01)
    assert not bird.update(0.07)  # equal is not below


@pytest.mark.parametrize("tolerance", [0, -0.1, 1.1, float("nan")])
def test_a_tolerance_outside_is_refused(tolerance: float) -> None:
    with pytest.raises(ConfigError, match="allowed: above 0 to 1"):
        EarlyBird(tolerance)


def test_a_patience_of_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="allowed: 1 or more"):
        EarlyBird(0.1, 0)


def test_a_warm_up_below_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="warmup_epochs -1 is not allowed; allowed: 0 or more"):
        EarlyBird(0.1, warmup_epochs=-1)
