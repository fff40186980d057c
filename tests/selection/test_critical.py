"""CET and CEP against written tables and the definitions."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prac.config.sections import SelectConfig
from prac.errors import ConfigError, EmptySetError
from prac.events.counter import STATISTICS_SCHEMA
from prac.selection.critical import critical_for_pruning, critical_for_training
from prac.selection.prac_set import PracSet, Reason, select_critical

# sample -> (forgotten, first_learned)
Statistics = dict[int, tuple[int, int | None]]
LEARNED = st.tuples(st.integers(0, 6), st.integers(0, 9))
NEVER = st.just((0, None))
STATISTICS = st.dictionaries(st.integers(0, 40), LEARNED | NEVER)


def table_of(statistics: Statistics) -> pa.Table:
    return pa.table(
        {
            "sample_id": list(statistics),
            "presentations": [9] * len(statistics),
            "forgotten": [forgotten for forgotten, _ in statistics.values()],
            "first_learned": [first for _, first in statistics.values()],
            "mean_margin": [0.0] * len(statistics),
            "mean_el2n": [0.0] * len(statistics),
        },
        schema=STATISTICS_SCHEMA,
    )


BY_HAND = {3: (0, 2), 5: (1, 0), 6: (0, None), 9: (4, 1), 10: (2, 5), 11: (0, 0)}


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0, [5, 6, 9, 10]), (1, [6, 9, 10]), (2, [6, 9]), (4, [6]), (10_000, [6])],
)
def test_training_by_hand(threshold: int, expected: list[int]) -> None:
    ids = critical_for_training(table_of(BY_HAND), threshold=threshold)
    assert ids.dtype == np.int32
    assert ids.tolist() == expected


@given(STATISTICS, st.integers(0, 6))
@settings(max_examples=80, deadline=None)
def test_training_is_the_definition_and_shrinks_with_the_threshold(statistics, threshold) -> None:
    table = table_of(statistics)
    chosen = critical_for_training(table, threshold=threshold).tolist()
    assert chosen == sorted(
        s for s, (forgotten, first) in statistics.items() if first is None or forgotten > threshold
    )
    assert set(critical_for_training(table, threshold=threshold + 1).tolist()) <= set(chosen)


def test_a_negative_threshold_is_refused() -> None:
    with pytest.raises(ConfigError, match="allowed: 0 or more"):
        critical_for_training(table_of(BY_HAND), threshold=-1)


def test_pruning_by_hand() -> None:
    ids = critical_for_pruning(
        np.array([1, 2, 3, 4]), np.array([1, 0, 3, 9]), np.array([70, 60, 50, 40])
    )
    assert ids.dtype == np.int32
    assert ids.tolist() == [40, 60]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2))))
@settings(max_examples=50)
def test_pruning_is_the_definition(predictions) -> None:
    dense = np.array([d for d, _ in predictions], np.int32)
    pruned = np.array([p for _, p in predictions], np.int32)
    expected = [3 * i for i, (d, p) in enumerate(predictions) if d != p]
    ids = np.arange(len(predictions), dtype=np.int32) * 3
    assert critical_for_pruning(dense, pruned, ids).tolist() == expected


@pytest.mark.parametrize("shapes", [(3, 3, 2), (2, 3, 3), (3, 1, 3), ((3, 1),) * 3])
def test_predictions_that_do_not_fit_are_refused(shapes) -> None:
    with pytest.raises(ConfigError, match="one prediction a sample"):
        critical_for_pruning(*(np.zeros(shape, np.int32) for shape in shapes))


def predictions(disagreeing: list[int]) -> dict[str, np.ndarray]:
    ids = np.arange(20, dtype=np.int32)
    return {
        "dense": np.zeros(20, np.int64),
        "pruned": np.isin(ids, disagreeing).astype(np.int64),
        "sample_ids": ids,
    }


def test_selected_by_hand() -> None:
    chosen = select_critical(table_of(BY_HAND), SelectConfig(), **predictions([5, 6, 11, 15]))
    F, N, D = Reason.FORGOTTEN, Reason.NEVER_LEARNED, Reason.DISAGREED
    # 15 was not presented in the round: it comes in by disagreement alone.
    assert dict(zip(chosen.sample_ids.tolist(), chosen.reasons.tolist(), strict=True)) == {
        5: F | D,
        6: N | D,
        9: F,
        10: F,
        11: D,
        15: D,
    }
    assert chosen.training_ids.tolist() == [5, 6, 9, 10]
    assert chosen.pruning_ids.tolist() == [5, 6, 11, 15]


def test_parts_can_be_left_out() -> None:
    table, given_ = table_of(BY_HAND), predictions([11])
    assert select_critical(table, SelectConfig(cet=False), **given_).sample_ids.tolist() == [11]
    chosen = select_critical(table, SelectConfig(cep=False), **given_)
    assert chosen.sample_ids.tolist() == [5, 6, 9, 10]
    # Round 0 has no pruned model.
    assert select_critical(table, SelectConfig()) == chosen
    everything = select_critical(table, SelectConfig(cet=False))
    assert everything == PracSet.everything(np.array(sorted(BY_HAND)))


def test_nothing_critical_selects_nothing_not_everything() -> None:
    table = table_of({1: (0, 0), 2: (0, 3)})
    with pytest.raises(EmptySetError, match="the set is empty") as caught:
        select_critical(table, SelectConfig(), **predictions([]))
    assert "\n" not in str(caught.value)
    with pytest.raises(EmptySetError):
        select_critical(table_of({}), SelectConfig())


@given(STATISTICS, st.sets(st.integers(0, 19)), st.integers(0, 3))
@settings(max_examples=80, deadline=None)
def test_selected_is_the_union_with_its_reasons(statistics, disagreeing, threshold) -> None:
    expected: dict[int, Reason] = {}
    for sample, (forgotten, first) in statistics.items():
        if first is None:
            expected[sample] = Reason.NEVER_LEARNED
        elif forgotten > threshold:
            expected[sample] = Reason.FORGOTTEN
    for sample in disagreeing:
        expected[sample] = expected.get(sample, Reason(0)) | Reason.DISAGREED
    select = SelectConfig(threshold=threshold)
    if not expected:
        with pytest.raises(EmptySetError):
            select_critical(table_of(statistics), select, **predictions(sorted(disagreeing)))
        return
    chosen = select_critical(table_of(statistics), select, **predictions(sorted(disagreeing)))
    assert chosen.sample_ids.tolist() == sorted(expected)
    assert chosen.reasons.tolist() == [int(expected[s]) for s in sorted(expected)]
