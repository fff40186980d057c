"""A set and its reasons: union, refusals, and the way through a table and back."""

import dataclasses
import pickle

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prac.errors import ConfigError, EmptySetError
from prac.selection import PracSet, Reason, random_subset

MEMBERS = st.dictionaries(
    st.sampled_from(list(Reason)), st.lists(st.integers(0, 50), max_size=12), max_size=4
).filter(lambda members: any(members.values()))


def make(members: dict[Reason, list[int]]) -> PracSet:
    return PracSet.from_reasons({r: np.array(ids, np.int32) for r, ids in members.items()})


@given(MEMBERS)
@settings(max_examples=100)
def test_the_union_with_all_reasons(members: dict[Reason, list[int]]) -> None:
    made = make(members)
    assert made.sample_ids.tolist() == sorted(set().union(*members.values()))
    assert len(made) == len(set().union(*members.values()))
    for reason in Reason:
        assert made.having(reason).tolist() == sorted(set(members.get(reason, [])))
    either = {*members.get(Reason.FORGOTTEN, []), *members.get(Reason.NEVER_LEARNED, [])}
    assert made.training_ids.tolist() == sorted(either)


@given(MEMBERS)
@settings(max_examples=50)
def test_a_table_and_back(members: dict[Reason, list[int]]) -> None:
    made = make(members)
    table = made.to_table()
    assert table.column_names == [
        "sample_id", "forgotten", "never_learned", "disagreed", "drawn",
    ]  # fmt: skip
    assert PracSet.from_table(table) == made
    chunked = pa.concat_tables([table.slice(len(made) // 2), table.slice(0, len(made) // 2)])
    assert PracSet.from_table(chunked).digest == made.digest
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301


def test_the_reasons_are_frozen_numbers() -> None:
    assert {r.name: r.value for r in Reason} == {
        "FORGOTTEN": 1,
        "NEVER_LEARNED": 2,
        "DISAGREED": 4,
        "DRAWN": 8,
    }


def test_a_list_of_ids_is_read_as_drawn() -> None:
    read = PracSet.from_table(pa.table({"sample_id": [9, 4, 4]}))
    assert read.sample_ids.tolist() == [4, 9]
    assert read.having(Reason.DRAWN).tolist() == [4, 9]
    assert len(read.training_ids) == len(read.pruning_ids) == 0


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ({"id": [1]}, "has columns id; sample_id is needed"),
        ({"sample_id": [1, None]}, "1 null sample ids"),
        ({"sample_id": [1, 2], "forgotten": [True, False]}, "needs a reason"),
        ({"sample_id": [1, 2], "forgotten": [True, None]}, "needs a reason"),
        ({"sample_id": [2**32 + 5]}, "0 to 2147483647"),
        ({"sample_id": [-1]}, "0 to 2147483647"),
        ({"sample_id": [1.5]}, "0 to 2147483647"),
        ({"sample_id": ["12"]}, "0 to 2147483647"),
    ],
)
def test_a_table_that_is_no_set_is_refused(table, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        PracSet.from_table(pa.table(table))


@pytest.mark.parametrize(
    ("ids", "reasons", "match"),
    [
        ([2, 1], [1, 1], "rising"),
        ([1, 1], [1, 1], "each once"),
        ([-1, 1], [1, 1], "0 to 2147483647"),
        ([1, 2], [1], "one each"),
        ([1, 2], [1, 0], "needs a reason"),
    ],
)
def test_ids_and_reasons_are_checked(ids, reasons, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        PracSet(np.array(ids), np.array(reasons))


def test_no_sample_is_an_error_that_says_so() -> None:
    empty = np.empty(0, np.int32)
    for make_empty in (
        lambda: PracSet(empty, empty.astype(np.uint8)),
        lambda: PracSet.from_reasons({}),
        lambda: PracSet.from_reasons({Reason.FORGOTTEN: empty}),
        lambda: PracSet.everything(empty),
    ):
        with pytest.raises(EmptySetError, match="the set is empty"):
            make_empty()


def test_equality_and_digest_know_the_reasons() -> None:
    one, other = make({Reason.FORGOTTEN: [1, 2]}), make({Reason.DISAGREED: [1, 2]})
    assert one == make({Reason.FORGOTTEN: [2, 1]})
    assert one != other
    assert one.digest != other.digest
    assert one.digest != make({Reason.FORGOTTEN: [1, 3]}).digest
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.sample_ids = other.sample_ids


@given(st.sets(st.integers(0, 500), min_size=1, max_size=60), st.data())
@settings(max_examples=60)
def test_a_random_subset_is_a_subset_of_the_size(ids: set[int], data) -> None:
    ids_array = np.array(sorted(ids))
    size = data.draw(st.integers(1, len(ids)))
    drawn = random_subset(ids_array, size, seed=3, round_index=2)
    assert len(drawn) == size
    assert set(drawn.sample_ids.tolist()) <= ids
    assert set(drawn.reasons.tolist()) == {int(Reason.DRAWN)}
    assert drawn == random_subset(ids_array, size, seed=3, round_index=2)


def test_a_random_subset_depends_on_seed_and_round_and_is_even() -> None:
    ids = np.arange(100)
    draws = [random_subset(ids, 30, seed=s, round_index=r) for s in range(20) for r in range(20)]
    assert len({d.digest for d in draws}) == 400
    counts = np.bincount(np.concatenate([d.sample_ids for d in draws]), minlength=100)
    # Each id is expected 120 times with a deviation of 9.2.
    assert counts.min() > 120 - 5 * 9.2
    assert counts.max() < 120 + 5 * 9.2


def test_golden_random_subset() -> None:
    drawn = random_subset(np.arange(1000), 5, seed=0, round_index=1)
    assert drawn.sample_ids.tolist() == [161, 227, 307, 315, 601]


@pytest.mark.parametrize("size", [0, -1, 11])
def test_a_size_that_is_not_there_is_refused(size: int) -> None:
    with pytest.raises(ConfigError, match=f"subset of {size} is not allowed; allowed: 1 to 10"):
        random_subset(np.arange(10), size, seed=0, round_index=0)
