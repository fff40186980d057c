"""What networks take on this machine: timed once, kept, and what stages make of it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from prac.analysis.speeds import Images, most_seconds, speeds_here
from prac.analysis.timed import Speed, Timed
from prac.config.sections import TrainConfig
from prac.errors import OutsideError
from prac.lottery.compose import build_graph

SPEED = Speed(training=1.0, predicting=0.25, start=0.0, memory=0)


def timed(architecture: str) -> Timed:
    train = TrainConfig(batch_size=16, milestones=(), precision="fp32")
    return Timed(
        architecture=architecture, image_shape=(8, 8, 1), num_classes=4, train=train, device="cpu"
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRAC_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "cache" / "speeds"


def test_a_speed_is_measured_once_and_kept(cache: Path) -> None:
    found = speeds_here([timed("resnet8"), timed("conv4")], threads=1, device="")
    assert found.keys() == {timed("resnet8"), timed("conv4")}
    for speed in found.values():
        assert 0 < speed.predicting < speed.training < 1
        # torch alone holds a few hundred megabytes.
        assert 0.1e9 < speed.memory < 5e9
    started = time.monotonic()
    again = speeds_here([timed("conv4"), timed("resnet8")], threads=1, device="")
    assert again == found
    assert time.monotonic() - started < 1
    # Others are of other threads.
    assert len(list(cache.iterdir())) == 2
    speeds_here([timed("conv4")], threads=2, device="")
    assert len(list(cache.iterdir())) == 3


def test_a_network_that_ends_its_process_is_told(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text("import os\ndef make(num_classes): os._exit(9)\n")
    with pytest.raises(OutsideError, match="a network can't be timed: its process ended"):
        speeds_here([timed("ends:make")], threads=1, device="")
    (tmp_path / "fails.py").write_text("def make(num_classes): raise ValueError('no such part')\n")
    with pytest.raises(OutsideError, match=r"can't be timed: .*no such part"):
        speeds_here([timed("fails:make")], threads=1, device="")
    assert not cache.exists()


def test_stages_take_what_their_steps_and_predictions_take(request_for) -> None:
    graph = build_graph(request_for(architectures=("conv4",), compare=("entropy",), rounds=2))
    images = Images(training=1294, validation=144, test=359)
    epochs = request_for().recipe.train.epochs
    training = epochs * (1294 + 144 / 4)
    stages = graph.stages

    def takes(name: str) -> float:
        return most_seconds(stages[name], SPEED, images)

    # Round 0 predicts the training split as well, a judgement the test split.
    assert takes("dense:conv4:prac") == pytest.approx(training + 1294 / 4)
    assert takes("judge:conv4:prac:2") == pytest.approx(training + 359 / 4)
    score = next(stage.name for stage in stages.values() if stage.kind == "score")
    assert takes(score) == pytest.approx(1294 / 4)
