"""A set and its reasons: union, refusals, and the way through a table and back."""

import dataclasses
import pickle

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prac.errors import ConfigError, EmptySetError
from prac.selection.prac_set import PracSet, Reason

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
        "sample_id", "forgotten", "never_learned", "disagreed", "drawn", "scored", "easy",
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
        "SCORED": 16,
        "EASY": 32,
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
