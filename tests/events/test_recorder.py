"""An epoch's events: complete, sorted, handed on once; or counted, for anybody's loop."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prac.errors import EventLogError
from prac.events.counter import STATISTICS_SCHEMA
from prac.events.recorder import EventRecorder
from prac.events.schema import EVENT_SCHEMA
from prac.events.statistics import forgetting_statistics


def test_an_epoch_is_complete_and_sorted() -> None:
    flushed: list = []
    recorder = EventRecorder(4, lambda epoch, table: flushed.append((epoch, table)))
    rng = np.random.default_rng(1)
    ids = rng.choice(1000, 50, replace=False).astype(np.int32)
    # Sample i has a margin of i / 8 for class 0, and is labelled 0 where i is even.
    logits = torch.tensor([[i / 8, 0.0] for i in ids])
    labels = torch.tensor([int(i % 2) for i in ids])
    for start in range(0, 50, 16):
        part = slice(start, start + 16)
        recorder.record(ids[part], logits[part], labels[part])
    assert flushed == []
    recorder.end_epoch(7)
    ((epoch, table),) = flushed
    assert epoch == 7
    assert table.schema.equals(EVENT_SCHEMA)
    assert table["sample_id"].to_pylist() == sorted(int(i) for i in ids)
    assert set(table["round"].to_pylist()) == {4}
    assert set(table["epoch"].to_pylist()) == {7}
    for event in table.to_pylist():
        sample = event["sample_id"]
        assert event["correct"] == (sample % 2 == 0 or sample == 0)
        assert event["margin"] == (sample / 8 if sample % 2 == 0 else -sample / 8)


def test_epochs_do_not_mix() -> None:
    flushed: list = []
    recorder = EventRecorder(0, lambda epoch, table: flushed.append(table))
    for epoch in range(2):
        recorder.record(np.array([epoch], np.int32), torch.zeros(1, 2), torch.tensor([0]))
        recorder.end_epoch(epoch)
    recorder.end_epoch(2)
    assert [table["sample_id"].to_pylist() for table in flushed] == [[0], [1], []]
    assert flushed[2].schema.equals(EVENT_SCHEMA)


# --- counted here --------------------------------------------------------------------------------


@st.composite
def rounds(draw):
    """Epochs of (id, right) in the order of their presentation; an epoch may leave samples out."""
    samples = draw(st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=8, unique=True))
    epoch = st.lists(
        st.tuples(st.sampled_from(samples), st.booleans()), unique_by=lambda event: event[0]
    )
    return draw(st.lists(epoch, min_size=1, max_size=6))


@given(rounds(), st.integers(1, 4), st.sampled_from(["array", "int64", "uint8 labels", "list"]))
@settings(max_examples=150)
def test_statistics_against_a_diary(epochs, batch: int, kind: str) -> None:
    recorder = EventRecorder()
    diary: dict[int, list[tuple[int, bool]]] = {}
    for number, epoch in enumerate(epochs):
        for start in range(0, len(epoch), batch):
            part = epoch[start : start + batch]
            ids: object = np.array([sample for sample, _ in part], np.int32)
            labels = torch.tensor([1] * len(part))
            if kind == "int64":
                ids = torch.tensor([sample for sample, _ in part])
            elif kind == "uint8 labels":
                labels = labels.to(torch.uint8)
            elif kind == "list":
                ids = [sample for sample, _ in part]
            logits = torch.tensor([[0.0, 1.0 if right else -1.0, -9.0] for _, right in part])
            recorder.record(ids, logits.requires_grad_(), labels)
            for sample, right in part:
                diary.setdefault(sample, []).append((number, right))
        recorder.end_epoch()
    table = recorder.statistics()
    assert table.schema.equals(STATISTICS_SCHEMA)
    got = table.select(["sample_id", "presentations", "forgotten", "first_learned"]).to_pylist()
    assert got == [
        {
            "sample_id": sample,
            "presentations": len(seen),
            "forgotten": sum(a and not b for (_, a), (_, b) in pairwise(seen)),
            "first_learned": next((number for number, right in seen if right), None),
        }
        for sample, seen in sorted(diary.items())
    ]
    for row in table.to_pylist():
        margins = [1.0 if right else -1.0 for _, right in diary[row["sample_id"]]]
        assert row["mean_margin"] == pytest.approx(np.mean(margins))


def test_with_a_sink_and_without_the_same_is_counted() -> None:
    tables: list[pa.Table] = []
    here, there = EventRecorder(), EventRecorder(3, lambda epoch, table: tables.append(table))
    torch.manual_seed(0)
    for _ in range(4):
        ids = torch.randperm(20)[:15]
        logits, labels = torch.randn(15, 5).bfloat16(), torch.randint(5, (15,))
        for recorder in (here, there):
            recorder.record(ids, logits, labels)
            recorder.end_epoch()
    assert here.statistics().equals(forgetting_statistics(pa.concat_tables(tables)))


def test_memory_that_the_loop_uses_again_does_not_matter() -> None:
    recorder, ids = EventRecorder(), np.zeros(1, np.int64)
    for sample in (4, 2):
        ids[0] = sample
        recorder.record(ids, torch.tensor([[1.0, 0.0]]), torch.tensor([0]))
    recorder.end_epoch()
    assert recorder.statistics()["sample_id"].to_pylist() == [2, 4]


def _batch(ids: object, logits: object = None, labels: object = None) -> tuple:
    count = len(ids)  # type: ignore[arg-type]
    logits = torch.zeros(count, 3) if logits is None else logits
    labels = torch.zeros(count, dtype=torch.int64) if labels is None else labels
    return ids, logits, labels


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        (
            _batch(np.arange(4), labels=torch.zeros(3).long()),
            r"ids \(4,\), logits \(4, 3\) and labels \(3,\) is not allowed; "
            r"allowed: \(B,\), \(B, K\)",
        ),
        (_batch(np.arange(4), torch.zeros(4)), "K 2 or more"),
        (_batch(np.arange(4), torch.zeros(4, 1)), "K 2 or more"),
        (_batch(np.arange(4), labels=torch.zeros(4, 3)), r"labels \(4, 3\) is not allowed"),
        (_batch(np.zeros((2, 2), int)), r"ids \(2, 2\)"),
        (_batch(np.arange(4.0)), "ids of float64 are not allowed; allowed: whole numbers"),
        (_batch(torch.ones(4)), "ids of torch.float32 are not allowed"),
        (_batch(np.arange(4), labels=torch.zeros(4)), "labels of torch.float32 are not allowed"),
        (_batch(np.arange(4), labels=torch.tensor([0, 1, 2, 3])), "label 3 .* allowed: 0 to 2"),
        (_batch(np.arange(4), labels=torch.tensor([0, 1, -1, 2])), "label -1 is not allowed"),
    ],
)
def test_a_batch_that_does_not_fit_is_one_line(batch, said: str) -> None:
    recorder = EventRecorder()
    with pytest.raises(EventLogError, match=said) as raised:
        recorder.record(*batch)
    assert "\n" not in str(raised.value)
    recorder.end_epoch()  # nothing of it was kept
    assert recorder.statistics().num_rows == 0


def test_an_epoch_that_does_not_fit_is_one_line() -> None:
    recorder = EventRecorder()
    for ids in ([0, 1], [2, 1]):
        recorder.record(*_batch(np.array(ids)))
    with pytest.raises(EventLogError, match="sample 1 has two events in epoch 0; one is allowed"):
        recorder.end_epoch()
    for wrong in (-1, 2**31):
        recorder.record(*_batch(np.array([0, wrong])))
        with pytest.raises(EventLogError, match=f"sample id {wrong} is not allowed; allowed: 0 to"):
            recorder.end_epoch()
    recorder.record(*_batch(np.array([0])))
    recorder.end_epoch(4)
    for wrong in (4, -1, 2**15):
        with pytest.raises(EventLogError, match=f"epoch {wrong} is not allowed; allowed: 5 to"):
            recorder.end_epoch(wrong)


def test_statistics_asked_for_too_early_is_one_line() -> None:
    recorder = EventRecorder()
    with pytest.raises(EventLogError, match="no epoch was recorded"):
        recorder.statistics()
    recorder.record(*_batch(np.arange(2)))
    with pytest.raises(EventLogError, match=r"call end_epoch\(\)"):
        recorder.statistics()
    with pytest.raises(EventLogError, match="sink"):
        EventRecorder(0, lambda epoch, table: None).statistics()
