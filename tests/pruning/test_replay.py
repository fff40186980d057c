"""The replayed stop: against a table drawn by hand, brute force, and trainings that really stop."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prac.config.recipes import digits
from prac.config.sections import AugmentConfig, PruneConfig, TrainConfig
from prac.config.values import RewindPoint
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.errors import ConfigError
from prac.lottery.rounds import RoundTask, run_round
from prac.lottery.stage_config import round_config
from prac.pruning.replay import RecordedRound, parse_tolerances, replay_stop
from prac.storage import Folder


def _recorded(*distances: float, budget: int = 0, earliest: int = 1) -> RecordedRound:
    epochs = len(distances) + 1
    return RecordedRound(
        distances=distances,
        epochs=epochs,
        budget_epochs=budget or epochs,
        steps_per_epoch=10,
        earliest_epochs=earliest,
    )


# Epochs 2 to 9. Above 0.2 until epoch 3, above 0.1 until epoch 5, one relapse at epoch 7.
STORY = _recorded(0.4, 0.3, 0.15, 0.12, 0.08, 0.11, 0.05, 0.04)


@pytest.mark.parametrize(
    ("tolerance", "patience", "at_once", "epochs", "stopped"),
    [
        (0.2, 2, False, 5, True),  # 0.15 at 4, 0.12 at 5
        (0.2, 3, False, 6, True),
        (0.1, 1, False, 6, True),  # 0.08
        (0.1, 2, False, 9, True),  # 0.08 then the relapse; 0.05, 0.04
        (0.1, 3, False, 9, False),
        (0.5, 1, False, 9, False),  # nothing was above 0.5, so nothing is recorded
        (0.5, 1, True, 2, True),
        (0.5, 3, True, 4, True),
        (0.04, 1, False, 9, False),  # 0.04 is not below 0.04
        (None, 1, False, 9, False),
    ],
)
def test_by_hand(
    tolerance: float | None, patience: int, at_once: bool, epochs: int, stopped: bool
) -> None:
    got = replay_stop(STORY, tolerance=tolerance, patience=patience, record_at_once=at_once)
    assert (got.epochs, got.stopped, got.steps) == (epochs, stopped, 10 * epochs)
    assert not got.at_least


def test_no_stop_before_the_rewind_point() -> None:
    held = dataclasses.replace(STORY, earliest_epochs=8)
    # Settled at 5 and 6; at 7 the last two are 0.08 and 0.11, at 8 0.11 and 0.05: all below 0.2.
    assert replay_stop(held, tolerance=0.2, patience=2).epochs == 8


def test_the_window_leaves_the_warm_up_out() -> None:
    # Its entries are the distances of epochs 5, 6 and 7 (counted from 0): after 6, 7 and 8.
    warm = dataclasses.replace(STORY, warmup_epochs=4)
    assert replay_stop(warm, tolerance=0.2, patience=1).epochs == 6
    assert replay_stop(warm, tolerance=0.2, patience=3).epochs == 8
    # Armed by a distance of the warm-up, although none after it is above.
    assert replay_stop(warm, tolerance=0.35, patience=2).epochs == 7
    assert not replay_stop(warm, tolerance=0.5, patience=1).stopped


def test_a_record_that_ends_early_says_at_least() -> None:
    cut = dataclasses.replace(STORY, budget_epochs=20)
    assert replay_stop(cut, tolerance=0.01).at_least
    assert replay_stop(cut, tolerance=None).at_least
    assert not replay_stop(cut, tolerance=0.2, patience=2).at_least


@given(
    st.lists(st.floats(0, 0.5), max_size=30),
    st.floats(0.01, 0.6),
    st.integers(1, 6),
    st.booleans(),
    st.integers(1, 12),
)
def test_as_the_rule_reads(
    distances: list[float], tolerance: float, patience: int, at_once: bool, earliest: int
) -> None:
    def settled(epochs: int) -> bool:
        seen = distances[: epochs - 1]
        above = [i for i, d in enumerate(seen) if d > tolerance]
        if not at_once and not above:
            return False
        recorded = seen if at_once else seen[above[0] :]
        last = recorded[-patience:]
        return len(last) == patience and all(d < tolerance for d in last)

    ends = [e for e in range(max(2, earliest), len(distances) + 2) if settled(e)]
    got = replay_stop(
        _recorded(*distances, earliest=earliest),
        tolerance=tolerance,
        patience=patience,
        record_at_once=at_once,
    )
    assert (got.epochs, got.stopped) == ((ends[0], True) if ends else (len(distances) + 1, False))


def test_trainings_stop_where_the_replay_says(
    toy_data: Callable[..., ImageDataset], tmp_path: Path
) -> None:
    images = DeviceImages(toy_data(80, noise=140), AugmentConfig(crop_padding=1))
    train = TrainConfig(
        epochs=12, batch_size=16, milestones=(8,), warmup_epochs=2, precision="fp32"
    )
    recipe = digits().replace(
        train=train, search=dataclasses.replace(digits().search, rewind=RewindPoint("epoch", 6))
    )

    def trained(prune: PruneConfig) -> tuple[float, ...]:
        config = round_config(
            recipe.replace(prune=prune), "resnet8", 0, precision="fp32", records_events=False
        )
        task = RoundTask(run="run", config=config, sample_ids=images.training_ids)
        return run_round(task, images, Folder(tmp_path / str(prune.tolerance))).distances

    whole = trained(PruneConfig(tolerance=None))
    told = dataclasses.replace(_recorded(*whole), warmup_epochs=2, earliest_epochs=6)
    ends = []
    for tolerance, patience in ((0.5, 2), (0.06, 2), (0.03, 2), (0.01, 1)):
        got = replay_stop(told, tolerance=tolerance, patience=patience, record_at_once=True)
        prune = PruneConfig(tolerance=tolerance, patience=patience, record_at_once=True)
        assert trained(prune) == whole[: got.epochs - 1]
        ends.append(got.epochs)
    assert ends[0] == 6  # held back until the rewind point
    assert len(set(ends)) >= 3


def test_tolerances_are_parsed_and_refused() -> None:
    assert parse_tolerances("0.04, 0.08,none,0.04") == (0.04, 0.08, None)
    for text in ("0", "1.5", "x", "0.1,"):
        with pytest.raises(ConfigError, match="allowed: above 0 to 1, or none"):
            parse_tolerances(text)
    with pytest.raises(ConfigError, match="patience 0"):
        replay_stop(STORY, tolerance=0.1, patience=0)
    with pytest.raises(ConfigError, match="9 epochs have 8 distances"):
        dataclasses.replace(STORY, distances=(0.1,))
