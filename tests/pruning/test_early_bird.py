"""The early-bird stop against a version that looks at the whole history each time."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prac.errors import ConfigError
from prac.pruning import EarlyBird

EPS = 0.08
DISTANCES = st.lists(st.sampled_from([0.0, 0.05, 0.0799, EPS, 0.0801, 0.3, 1.0]), max_size=30)


def by_definition(distances: list[float], patience: int, at_once: bool) -> list[bool]:
    stops = []
    for count in range(1, len(distances) + 1):
        seen = distances[:count]
        above = [i for i, d in enumerate(seen) if d > EPS]
        recorded = seen if at_once else seen[above[0] :] if above else []
        stops.append(len(recorded) >= patience and all(d < EPS for d in recorded[-patience:]))
    return stops


@given(DISTANCES, st.integers(1, 6), st.booleans())
@settings(max_examples=100)
def test_against_the_whole_history(distances, patience: int, at_once: bool) -> None:
    bird = EarlyBird(EPS, patience, record_at_once=at_once)
    stops = [bird.update(distance) for distance in distances]
    assert stops == by_definition(distances, patience, at_once)


@given(DISTANCES, st.integers(1, 6), st.booleans(), st.integers(0, 30))
@settings(max_examples=100)
def test_going_on_from_a_checkpoint_changes_nothing(distances, patience, at_once, cut) -> None:
    bird = EarlyBird(EPS, patience, record_at_once=at_once)
    stops = [bird.update(distance) for distance in distances[:cut]]
    resumed = EarlyBird(EPS, patience, record_at_once=at_once)
    resumed.restore(json.loads(json.dumps(bird.state())))
    stops += [resumed.update(distance) for distance in distances[cut:]]
    assert stops == by_definition(distances, patience, at_once)


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
