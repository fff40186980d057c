"""An epoch's events: complete, sorted, handed on once."""

import numpy as np
import torch

from prac.events import EVENT_SCHEMA, EventRecorder


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
    recorder.flush(7)
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
        recorder.flush(epoch)
    recorder.flush(2)
    assert [table["sample_id"].to_pylist() for table in flushed] == [[0], [1], []]
    assert flushed[2].schema.equals(EVENT_SCHEMA)
