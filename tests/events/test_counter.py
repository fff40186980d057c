"""The counter's ways to take a batch (a run of known samples, or any) give the same numbers."""

import itertools
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prac.errors import EventLogError
from prac.events import counter
from prac.events.counter import ForgettingCounter

# What an epoch presents of the sorted ids: all, a run of them, each third, some more, or shuffled.
KINDS = st.sampled_from(["all", "run", "thirds", "new", "shuffled", "in two calls"])


def parts_of(kind: str, ids: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    cut = int(rng.integers(1, len(ids)))
    return {
        "all": [ids],
        "run": [ids[cut // 2 : cut]] if cut > 1 else [ids[:1]],
        "thirds": [ids[::3]],
        "new": [np.union1d(ids, rng.integers(0, 400, 5)).astype(np.int32)],
        "shuffled": [rng.permutation(ids)],
        "in two calls": [ids[cut:], rng.permutation(ids[:cut])],
    }[kind]


def reference(shown: dict[int, list[tuple[int, bool, float, float]]]) -> list[dict[str, object]]:
    rows = []
    for sample, events in sorted(shown.items()):
        right = [event[1] for event in events]
        rows.append(
            {
                "sample_id": sample,
                "presentations": len(events),
                "forgotten": sum(a and not b for a, b in itertools.pairwise(right)),
                "first_learned": next((e[0] for e in events if e[1]), None),
                "mean_margin": float(np.float32(sum(e[2] for e in events) / len(events))),
                "mean_el2n": float(np.float32(sum(e[3] for e in events) / len(events))),
            }
        )
    return rows


@given(st.lists(KINDS, min_size=1, max_size=8), st.integers(0, 2**31), st.sampled_from([4, 7, 64]))
@settings(max_examples=150, deadline=None)
def test_every_way_and_every_switch(kinds: list[str], seed: int, block: int) -> None:
    rng = np.random.default_rng(seed)
    ids = np.sort(rng.choice(300, int(rng.integers(2, 60)), replace=False)).astype(np.int32)
    shown: dict[int, list[tuple[int, bool, float, float]]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counter, "_BLOCK", block)
        counting = ForgettingCounter()
        for epoch, kind in enumerate(kinds):
            for part in parts_of(kind, ids, rng):
                correct = rng.random(len(part)) < 0.6
                margin = rng.normal(0, 50, len(part)).astype(np.float16)
                el2n = rng.random(len(part)).astype(np.float16)
                counting.update(epoch, part, correct, margin, el2n)
                for row, sample in enumerate(part.tolist()):
                    event = (epoch, bool(correct[row]), float(margin[row]), float(el2n[row]))
                    shown.setdefault(sample, []).append(event)
        assert counting.statistics().to_pylist() == reference(shown)


@given(
    st.lists(KINDS, min_size=1, max_size=8),
    st.lists(st.integers(0, 8), max_size=3),
    st.integers(0, 2**31),
)
@settings(max_examples=150, deadline=None)
def test_parts_counted_apart_and_merged(kinds: list[str], cuts: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids = np.sort(rng.choice(300, int(rng.integers(2, 60)), replace=False)).astype(np.int32)
    shown: dict[int, list[tuple[int, bool, float, float]]] = {}
    whole, part = ForgettingCounter(), ForgettingCounter()
    for epoch, kind in enumerate(kinds):
        if epoch in cuts:
            # As a task returns it to another process.
            whole.merge(pickle.loads(pickle.dumps(part)))  # noqa: S301
            part = ForgettingCounter()
        for samples in parts_of(kind, ids, rng):
            correct = rng.random(len(samples)) < 0.6
            margin = rng.normal(0, 50, len(samples)).astype(np.float16)
            el2n = rng.random(len(samples)).astype(np.float16)
            part.update(epoch, samples, correct, margin, el2n)
            for row, sample in enumerate(samples.tolist()):
                event = (epoch, bool(correct[row]), float(margin[row]), float(el2n[row]))
                shown.setdefault(sample, []).append(event)
    whole.merge(part)
    assert whole.statistics().to_pylist() == reference(shown)


def test_parts_have_to_follow_one_another() -> None:
    first, second = ForgettingCounter(), ForgettingCounter()
    ids, right = np.array([1, 4], np.int32), np.ones(2, np.bool_)
    first.update(3, ids, right, None, None)
    second.update(3, ids, right, None, None)
    with pytest.raises(EventLogError, match="from epoch 3 on can't follow those of epoch 3"):
        first.merge(second)
    first.merge(ForgettingCounter())
    assert first.statistics()["presentations"].to_pylist() == [1, 1]


def test_float16_is_widened_exactly() -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    counting = ForgettingCounter()
    ids = np.arange(len(finite), dtype=np.int32)
    for epoch in range(2):
        counting.update(epoch, ids, ids > 0, finite, None)
    assert np.array_equal(counting.statistics()["mean_margin"].to_numpy(), finite.astype("f4"))


def test_counts_up_to_the_last_epoch() -> None:
    counting = ForgettingCounter()
    ids = np.array([3], np.int32)
    for epoch in range(counter.LAST_EPOCH + 1):
        counting.update(epoch, ids, np.array([epoch % 2 == 0]), None, None)
    row = counting.statistics().to_pylist()[0]
    assert (row["presentations"], row["forgotten"], row["first_learned"]) == (32768, 16384, 0)
    for epoch in (32768, -1):
        with pytest.raises(EventLogError, match="allowed: 0 to 32767"):
            counting.update(epoch, ids, np.array([True]), None, None)


def test_a_sample_twice_in_an_epoch_is_refused_in_every_way() -> None:
    ids = np.array([1, 4, 9], np.int32)
    for again in ([4], [1, 4], [9, 1], [1, 4, 9]):
        counting = ForgettingCounter()
        counting.update(0, ids, np.ones(3, np.bool_), None, None)
        sample_ids = np.array(again, np.int32)
        with pytest.raises(EventLogError, match=rf"sample {min(again)} has two events in epoch 0"):
            counting.update(0, sample_ids, np.ones(len(again), np.bool_), None, None)


def test_forty_bytes_a_sample_hold_the_state() -> None:
    count = 200_000
    ids, right = np.arange(count, dtype=np.int32), np.ones(count, np.bool_)
    scores = np.zeros(count, np.float16)
    tracemalloc.start()
    counting = ForgettingCounter()
    for epoch in range(3):
        counting.update(epoch, ids, right, scores, scores)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 32 * count
