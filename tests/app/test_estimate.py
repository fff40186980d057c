"""Time and memory of a plan: held against sums by hand of the speeds that were measured."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from prac.analysis.timed import Speed
from prac.app.estimate import estimate
from prac.app.options import Options
from prac.app.planned import plan_pipeline
from prac.config.recipes import get_recipe
from prac.schema import file_bytes, read

RECIPE = get_recipe("digits").with_epochs(2).replace(architectures=("conv4",), compare=())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRAC_CACHE", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return tmp_path / "speeds"


def test_one_process_takes_the_sum_and_cores_share_it(cache: Path) -> None:
    recipe = RECIPE.set(search={"rounds": 2})
    asked: list[list[str]] = []
    local = plan_pipeline(recipe, Options(executor="local", gpus=0))
    to_run = local.graph.needed()
    found = estimate(local, {}, to_run, asked.append)
    (kept,) = cache.iterdir()
    speed = read(Speed, file_bytes(kept))
    kinds = Counter(stage.kind for stage in to_run)
    # Round 0, round 1, the judgements of round 0 and of the last ticket.
    assert (kinds["dense"], kinds["round"], kinds["judge"]) == (1, 1, 2)
    trained, validated = 4 * 2 * 1294, 4 * 2 * 144
    predicted = validated + 2 * 1294 + 2 * 359
    by_hand = speed.start + trained * speed.training + predicted * speed.predicting
    by_hand += kinds["ticket"] + 2 * speed.start
    assert found is not None
    assert found.seconds == pytest.approx(by_hand, rel=0.01)
    images = 1797 * 64
    assert speed.memory + images < found.memory < speed.memory + images + 1e9
    # The same speeds, other stages: what Ray brings is much larger than one process of it.
    ray = plan_pipeline(recipe, Options(executor="ray", gpus=0, workers=1))
    beside = estimate(ray, {}, ray.graph.needed(), asked.append)
    assert beside is not None
    assert beside.memory > found.memory + 1e9
    assert asked == [["conv4"]]


def test_what_is_not_known_is_not_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    local = plan_pipeline(RECIPE, Options(executor="local", gpus=0))
    small = [stage for stage in local.graph.needed() if stage.kind in ("select", "ticket")]
    assert estimate(local, {}, small, pytest.fail) is None
    ray = plan_pipeline(RECIPE, Options(executor="ray", gpus=0, workers=1))
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    assert estimate(ray, {}, ray.graph.needed(), pytest.fail) is None
