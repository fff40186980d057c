"""The example's ordinary loop finds the masks, sets and stops of our own rounds, bit for bit."""

from __future__ import annotations

import ast
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import prac
from prac.config.recipe import Recipe
from prac.config.sections import (
    AugmentConfig,
    BudgetConfig,
    PruneConfig,
    SearchConfig,
    SelectConfig,
    TrainConfig,
)
from prac.config.values import RewindPoint
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.lottery.rounds import RoundOutcome, RoundTask, run_round
from prac.lottery.stage_config import round_config
from prac.selection.prac_set import select_critical
from prac.storage import Folder
from prac.ticket.format import Ticket
from prac.training.randomness import derived_seed, generator

EXAMPLE = Path(__file__).parent / "plain_pytorch.py"
SEED, ROUNDS = 2, 3


def test_it_uses_public_names_only() -> None:
    tree = ast.parse(EXAMPLE.read_text())
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert {name for name in imported if name.startswith("prac")} == {"prac"}
    used = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "prac"
    }
    assert used <= set(prac.__all__)


def _ours(
    recipe: Recipe, images: DeviceImages, work: Path
) -> list[tuple[prac.Mask | None, prac.PracSet, RoundOutcome]]:
    """Our own rounds, from set to set."""
    mask, samples = None, prac.PracSet.everything(images.training_ids)
    done: list[tuple[prac.Mask | None, prac.PracSet, RoundOutcome]] = []
    for index in range(ROUNDS):
        config = round_config(recipe, "resnet8", index, precision="fp32", records_events=True)
        task = RoundTask(
            run=f"round-{index}",
            config=config,
            sample_ids=samples.sample_ids,
            mask=mask,
            weights=done[0][2].rewind_weights if done else None,
        )
        outcome = run_round(task, images, Folder(work / str(index)))
        done.append((mask, samples, outcome))
        mask = outcome.next_mask
        compared = {}
        if index > 0:
            compared = {
                "dense": done[0][2].predictions,
                "pruned": outcome.predictions,
                "sample_ids": images.training_ids,
            }
        samples = select_critical(outcome.statistics, SelectConfig(), **compared)
    return [*done, (mask, samples, done[-1][2])]


@pytest.fixture(scope="module")
def example() -> dict[str, object]:
    return runpy.run_path(str(EXAMPLE))


def test_the_same_masks_and_sets_as_our_own_loop(
    example: dict[str, object], digits_data: ImageDataset, tmp_path: Path
) -> None:
    recipe = Recipe(
        name="example",
        description="",
        architectures=("resnet8",),
        augment=AugmentConfig(crop_padding=0, flip=False),
        train=TrainConfig(
            epochs=example["EPOCHS"],
            batch_size=example["BATCH"],
            learning_rate=example["RATE"],
            milestones=example["MILESTONES"],
            precision="fp32",
            shares=1,
        ),
        prune=PruneConfig(tolerance=0.08, patience=3),
        budget=BudgetConfig(min_round_epochs=example["FEWEST_EPOCHS"]),
        search=SearchConfig(rewind=RewindPoint("epoch", example["REWIND_EPOCHS"]), seed=SEED),
    )
    images = DeviceImages(digits_data, recipe.augment)
    ours = _ours(recipe, images, tmp_path)

    rows = np.arange(len(digits_data.train_images), dtype=np.int32)
    model = prac.build_model(
        "resnet8",
        num_classes=10,
        image_shape=digits_data.image_shape,
        seed=derived_seed(SEED, "weights"),
    ).to(memory_format=torch.channels_last)
    ticket, history = example["find_ticket"](
        model,
        images.clean(rows),
        images.labels(rows),
        digits_data.training_ids,
        digits_data.validation_ids,
        lambda k, epoch: generator(SEED, "round", k, epoch),
        rounds=ROUNDS,
    )
    assert len(history) == len(ours) == ROUNDS + 1
    for (mask, samples, epochs), (our_mask, our_samples, outcome) in zip(
        history, ours, strict=True
    ):
        assert our_mask is None or mask == our_mask
        assert np.array_equal(samples.sample_ids, our_samples.sample_ids)
        assert np.array_equal(samples.training_ids, our_samples.training_ids)
        assert np.array_equal(samples.pruning_ids, our_samples.pruning_ids)
        assert epochs in (0, len(outcome.epochs))
    rewind = ours[0][2].rewind_weights
    assert rewind is not None
    expected = Ticket.of(history[-1][0], rewind, {})
    assert all(torch.equal(t, ticket.weights[n]) for n, t in expected.weights.items())
    ticket.verify()
    # Otherwise the comparison would have shown little.
    assert any(outcome.stopped_early for _, _, outcome in ours)
    assert all(len(samples.pruning_ids) for _, samples, _ in ours[2:])
    assert all(20 < len(samples) < 1000 for _, samples, _ in ours[1:])


def test_it_runs_as_a_script() -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "ticket: sparsity 48.80%"
