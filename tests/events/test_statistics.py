"""Forgetting statistics against a written table and a loop that follows the definition."""

import itertools
import random
import tracemalloc

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prac.errors import EventLogError
from prac.events.schema import EVENT_SCHEMA
from prac.events.statistics import forgetting_statistics

# (epoch, sample) -> (correct, margin, el2n); margins and norms are exact in float16.
Events = dict[tuple[int, int], tuple[bool, float, float]]
NEEDED = ("epoch", "sample_id", "correct")
EVENTS = st.dictionaries(
    st.tuples(st.integers(0, 6), st.integers(0, 9)),
    st.tuples(st.booleans(), st.integers(-64, 64).map(lambda n: n / 4), st.just(0.5)),
    max_size=60,
)


def table_of(events: Events, order: list[tuple[int, int]] | None = None, *, round_: int = 0):
    keys = sorted(events) if order is None else order
    return pa.table(
        {
            "round": np.full(len(keys), round_, np.int16),
            "epoch": np.array([e for e, _ in keys], np.int16),
            "sample_id": np.array([s for _, s in keys], np.int32),
            "correct": np.array([events[k][0] for k in keys], np.bool_),
            "margin": np.array([events[k][1] for k in keys], np.float16),
            "el2n": np.array([events[k][2] for k in keys], np.float16),
        },
        schema=EVENT_SCHEMA,
    )


def by_definition(events: Events) -> list[dict[str, object]]:
    seen: dict[int, list[tuple[int, bool, float, float]]] = {}
    for (epoch, sample), event in sorted(events.items()):
        seen.setdefault(sample, []).append((epoch, *event))
    rows = []
    for sample, shown in sorted(seen.items()):
        right = [correct for _, correct, _, _ in shown]
        rows.append(
            {
                "sample_id": sample,
                "presentations": len(shown),
                "forgotten": sum(right[i] and not right[i + 1] for i in range(len(right) - 1)),
                "first_learned": next((e for e, correct, _, _ in shown if correct), None),
                "mean_margin": float(np.float32(sum(m for _, _, m, _ in shown) / len(shown))),
                "mean_el2n": float(np.float32(sum(n for _, _, _, n in shown) / len(shown))),
            }
        )
    return rows


def test_a_table_drawn_by_hand() -> None:
    drawn = {
        3: "101011",  # right, wrong, right, wrong, right, right
        7: "000000",  # never
        8: "1.0.1.",  # forgotten across an epoch in which it wasn't presented
        9: "..0111",
        12: "011110",
        40: ".....1",
    }
    events = {
        (epoch, sample): (mark == "1", 2.0 if mark == "1" else -1.0, 0.25 if mark == "1" else 1.25)
        for sample, row in drawn.items()
        for epoch, mark in enumerate(row)
        if mark != "."
    }
    answer = forgetting_statistics(table_of(events))
    assert answer["sample_id"].to_pylist() == [3, 7, 8, 9, 12, 40]
    assert answer["presentations"].to_pylist() == [6, 6, 3, 4, 6, 1]
    assert answer["forgotten"].to_pylist() == [2, 0, 1, 0, 1, 0]
    assert answer["first_learned"].to_pylist() == [0, None, 0, 3, 1, 5]
    assert answer["mean_margin"].to_pylist() == [1.0, -1.0, 1.0, 1.25, 1.0, 2.0]
    expected = [3.5 / 6, 1.25, 1.75 / 3, 0.5, 3.5 / 6, 0.25]
    np.testing.assert_allclose(answer["mean_el2n"].to_numpy(), expected, rtol=1e-6)


def test_the_schema_is_that_of_the_contract() -> None:
    assert str(EVENT_SCHEMA.remove_metadata()) == (
        "round: int16 not null\nepoch: int16 not null\nsample_id: int32 not null\n"
        "correct: bool not null\nmargin: halffloat not null\nel2n: halffloat not null"
    )
    statistics = forgetting_statistics(table_of({(0, 1): (True, 0.0, 0.0)}))
    assert str(statistics.schema) == (
        "sample_id: int32 not null\npresentations: int32 not null\nforgotten: int32 not null\n"
        "first_learned: int16\nmean_margin: float not null\nmean_el2n: float not null"
    )


@given(EVENTS, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_any_table_in_any_order(events: Events, rng: random.Random) -> None:
    order = list(events)
    rng.shuffle(order)
    assert forgetting_statistics(table_of(events, order)).to_pylist() == by_definition(events)


@given(EVENTS, st.lists(st.integers(0, 60)), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_a_stream_cut_anywhere(events: Events, cuts: list[int], rng: random.Random) -> None:
    order = sorted(events, key=lambda key: (key[0], rng.random()))
    table = table_of(events, order)
    edges = [0, *sorted(min(cut, len(order)) for cut in cuts), len(order)]
    stream = (
        batch
        for start, stop in itertools.pairwise(edges)
        for batch in table.slice(start, stop - start).to_batches()
    )
    assert forgetting_statistics(stream).to_pylist() == by_definition(events)


@given(EVENTS)
@settings(max_examples=50, deadline=None)
def test_against_window_functions(events: Events) -> None:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(
        [(e, s, c, m) for (e, s), (c, m, _) in events.items()],
        schema={"epoch": pl.Int16, "sample_id": pl.Int32, "correct": pl.Boolean, "m": pl.Float64},
        orient="row",
    )
    before = pl.col("correct").shift(1).over("sample_id", order_by="epoch")
    expected = (
        frame.with_columns(forget=before.fill_null(False) & ~pl.col("correct"))
        .group_by("sample_id")
        .agg(
            presentations=pl.len().cast(pl.Int32),
            forgotten=pl.col("forget").sum().cast(pl.Int32),
            first_learned=pl.col("epoch").filter("correct").min(),
            mean_margin=pl.col("m").mean().cast(pl.Float32),
        )
        .sort("sample_id")
    )
    answer = forgetting_statistics(table_of(events)).drop_columns("mean_el2n")
    assert answer.to_pylist() == expected.to_dicts()


def test_columns_of_other_types_are_read_or_refused() -> None:
    """As files and other tools keep them: `correct` as 0 and 1, wide ids and epochs."""
    rows = [(e, s, (e * s) % 3 == 0) for e in (1, 0, 2) for s in range(9)]
    columns = {name: [row[i] for row in rows] for i, name in enumerate(NEEDED)}
    exact = pa.table({n: pa.array(c, EVENT_SCHEMA.field(n).type) for n, c in columns.items()})
    expected = forgetting_statistics(exact)
    # All are right in epoch 0, later those that 3 divides.
    assert expected["forgotten"].to_pylist() == [0, 1, 1, 0, 1, 1, 0, 1, 1]
    for kind in (pa.uint8(), pa.int64(), pa.string()):
        told = ["true" if right else "false" for right in columns["correct"]]
        other = pa.array(told if kind == pa.string() else list(map(int, columns["correct"])), kind)
        wide = {"epoch": pa.array(columns["epoch"], pa.int64()), "correct": other,
                "sample_id": pa.array(columns["sample_id"], pa.uint64())}  # fmt: skip
        assert forgetting_statistics(pa.table(wide)) == expected
    ids = [2**32, *columns["sample_id"][1:]]
    for name, wrong, match in (
        ("sample_id", pa.array(ids), "'sample_id'.* int64, and not all"),
        ("correct", pa.array([None, *columns["correct"][1:]]), "'correct'.* has 1 nulls"),
        ("epoch", pa.array(["first"] * len(rows)), "'epoch'.* string, and not all"),
        ("correct", None, "have no column 'correct'; needed: epoch, sample_id, correct"),
    ):
        kept = {n: exact[n] for n in NEEDED if n != name}
        table = pa.table(kept if wrong is None else kept | {name: wrong})
        with pytest.raises(EventLogError, match=match):
            forgetting_statistics(table)
        with pytest.raises(EventLogError, match=match):
            forgetting_statistics(table.sort_by("sample_id").to_batches())
    doubled = pa.Table.from_arrays([*exact.columns, exact["epoch"]], [*exact.column_names, "epoch"])
    with pytest.raises(EventLogError, match="2 columns 'epoch'"):
        forgetting_statistics(doubled)


def test_no_events_are_no_rows() -> None:
    assert forgetting_statistics(table_of({})).num_rows == 0
    assert forgetting_statistics(iter(())).num_rows == 0


def test_means_are_zero_without_their_columns() -> None:
    table = table_of({(0, 1): (True, 3.0, 1.0)}).drop_columns(["margin", "el2n"])
    row = forgetting_statistics(table).to_pylist()[0]
    assert (row["mean_margin"], row["mean_el2n"]) == (0.0, 0.0)


def one(epoch: int, samples: list[int], round_: int = 0) -> pa.RecordBatch:
    events = {(epoch, s): (True, 0.0, 0.0) for s in set(samples)}
    return table_of(events, [(epoch, s) for s in samples], round_=round_).to_batches()[0]


@pytest.mark.parametrize(
    ("stream", "match"),
    [
        ([one(1, [4]), one(0, [4])], "epoch 0 come after those of epoch 1"),
        ([one(0, [4, 5, 4])], "sample 4 has two events in epoch 0"),
        ([one(0, [4]), one(0, [5, 4])], "sample 4 has two events in epoch 0"),
        ([one(0, [4]), one(1, [4], round_=1)], r"rounds \[0, 1\] are mixed"),
        ([one(0, [-2, 4])], "-2 in epoch 0 is negative"),
    ],
)
def test_a_stream_that_is_not_one_round_is_refused(stream, match) -> None:
    with pytest.raises(EventLogError, match=match) as caught:
        forgetting_statistics(iter(stream))
    assert "\n" not in str(caught.value)


def test_a_table_with_a_double_or_two_rounds_is_refused() -> None:
    with pytest.raises(EventLogError, match="sample 4 has two events in epoch 2"):
        forgetting_statistics(pa.Table.from_batches([one(2, [4]), one(1, [4]), one(2, [4])]))
    with pytest.raises(EventLogError, match="mixed"):
        forgetting_statistics(pa.Table.from_batches([one(0, [4]), one(1, [4], round_=3)]))


def peak_of(epochs: int, samples: int) -> int:
    rng = np.random.default_rng(0)
    ids = np.arange(samples, dtype=np.int32)

    def stream():
        for epoch in range(epochs):
            values = rng.random(samples).astype(np.float16)
            yield pa.record_batch(
                [
                    np.zeros(samples, np.int16),
                    np.full(samples, epoch, np.int16),
                    ids,
                    rng.random(samples) < 0.5,
                    values,
                    values,
                ],
                schema=EVENT_SCHEMA,
            )

    tracemalloc.start()
    arrow = pa.total_allocated_bytes()
    forgetting_statistics(stream())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert pa.total_allocated_bytes() - arrow < 64 * samples
    return peak


def test_memory_is_that_of_the_samples_not_of_the_events() -> None:
    samples = 20_000
    few, many = peak_of(5, samples), peak_of(80, samples)
    assert many < 1.05 * few
    assert many < 100 * samples  # state, result and an epoch; 80 epochs of events are 960 bytes
