"""The callback in Lightning's own loop against a plain loop on the same batches."""

from __future__ import annotations

import copy
import runpy
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

import prac
from prac.data.dataset import ImageDataset
from prac.pruning.prunable import prunable_weights

pytest.importorskip("pytorch_lightning", reason="pip install prac[lightning]")
EPOCHS = 12


@pytest.fixture(scope="module")
def example() -> dict[str, object]:
    return runpy.run_path(str(Path(__file__).parent / "lightning_callback.py"))


@pytest.mark.filterwarnings("ignore")
def test_it_finds_what_a_plain_loop_finds(
    example: dict[str, object], digits_data: ImageDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = torch.tensor(digits_data.training_ids[:300])
    images = torch.tensor(digits_data.train_images).permute(0, 3, 1, 2)[ids] / 255
    samples = TensorDataset(ids, images, torch.tensor(digits_data.train_labels)[ids])
    loader = DataLoader(samples, batch_size=50)
    shape = digits_data.image_shape
    model = prac.build_model("resnet8", num_classes=10, image_shape=shape, seed=0)
    mask = prac.global_magnitude(prunable_weights(model), prac.Mask.dense(model), 0.3)
    other = copy.deepcopy(model)

    checked = []
    after = example["PracRound"].on_train_batch_end

    def check(self, trainer, module, outputs, batch, batch_idx) -> None:
        weights = prunable_weights(model)
        checked.append(sum(int((weights[n][~mask[n]] != 0).sum()) for n in mask))
        after(self, trainer, module, outputs, batch, batch_idx)

    monkeypatch.setattr(example["PracRound"], "on_train_batch_end", check)
    done = example["train_round"](model, mask, loader, EPOCHS, patience=2, tolerance=0.06)

    optimizer = torch.optim.SGD(other.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    mask.apply_(other)
    right: dict[int, list[bool]] = {int(i): [] for i in ids}
    masks, distances = [], []
    for epoch in range(EPOCHS):
        other.train()
        for batch_ids, batch_images, labels in loader:
            logits = other(batch_images)
            for sample, one in zip(batch_ids.tolist(), logits.argmax(1) == labels, strict=True):
                right[sample].append(bool(one))
            optimizer.zero_grad()
            cross_entropy(logits, labels).backward()
            for name, weight in prunable_weights(other).items():
                weight.grad.mul_(mask[name])
            optimizer.step()
        masks.append(prac.global_magnitude(prunable_weights(other), mask, 0.2))
        if epoch:
            distances.append(masks[-1].distance(masks[-2], alive=mask.num_alive))
        armed = [i for i, d in enumerate(distances) if d > 0.06]
        entries = distances[armed[0] :] if armed else []
        if len(entries) >= 2 and max(entries[-2:]) < 0.06:
            break

    assert len(masks) < EPOCHS  # it did stop
    assert done.tentative.distances == distances
    assert done.tentative.latest == masks[-1]
    assert checked == [0] * (6 * len(masks))
    rows = done.recorder.statistics().to_pylist()
    assert [row["sample_id"] for row in rows] == sorted(right)
    for row in rows:
        seen = right[row["sample_id"]]
        assert row["presentations"] == len(seen)
        assert row["forgotten"] == sum(a and not b for a, b in pairwise(seen))
        assert row["first_learned"] == (seen.index(True) if True in seen else None)
    assert any(row["forgotten"] for row in rows)
