"""What a trial finds is told and kept: the same network and settings aren't tried twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from prac.config.recipes import digits
from prac.config.sections import PruneConfig
from prac.errors import ConfigError
from prac.lottery import trials
from prac.lottery.trials import NetworkTrial, try_kept
from prac.models.catalogue import Format

NETWORK = "from torch import nn\ndef make(): return nn.Sequential({layers})\n"
LAYERS = "nn.Conv2d(3, 4, 3), nn.{activation}(), nn.Flatten(), nn.Linear(144, 3)"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PRAC_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "cache" / "trials"


def trial(name: str, *, layers: str = "conv", graph: bool = False, **train: object) -> NetworkTrial:
    recipe = digits().set(prune={"layers": layers}, train=train)
    return try_kept(name, Format(3, (8, 8, 3)), recipe, "fp32", graph=graph)


def test_weights_are_counted_by_what_is_prunable(cache: Path) -> None:
    # 192-16-16-3 with biases; a tied convolution counts once (networks of tests/support).
    assert trial("support.networks:Mlp", layers="conv+linear") == NetworkTrial(
        prunable=192 * 16 + 16 * 16 + 16 * 3, parameters=192 * 16 + 16 * 16 + 16 * 3 + 16 + 16 + 3
    )
    all_but_head = trial("support.networks:Mlp", layers="all-but-head")
    assert all_but_head.prunable == 192 * 16 + 16 * 16
    assert trial("support.networks:Shared").prunable == 3 * 4 * 9 + 4 * 4 * 9 + 4 * 4 * 9
    with pytest.raises(ConfigError, match=r"nothing to prune; prune\.layers=conv\+linear"):
        trial("support.networks:Mlp")


def test_under_half_is_warned_of() -> None:
    few, most = NetworkTrial(prunable=1, parameters=100), NetworkTrial(prunable=60, parameters=100)
    (line,) = few.lines("net", PruneConfig())
    assert line.startswith("net: 1.0% of its 100 weights are prunable (prune.layers=conv); warning")
    assert "prune.layers=conv+linear" in line
    (line,) = most.lines("net", PruneConfig(layers="linear"))
    assert line == "net: 60.0% of its 100 weights are prunable (prune.layers=linear)"


def test_a_network_without_a_graph_is_told(cache: Path) -> None:
    told = trial("support.networks:Branching", graph=True)
    assert told.no_graph is not None
    assert "can't be exported as pt2" in told.no_graph
    assert "kept without a graph" in told.lines("net", PruneConfig())[1]
    assert trial("support.networks:Volumes", graph=True).no_graph is None


def test_it_is_tried_again_only_where_something_changed(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def counted(name: str, *given: object, **named: object) -> NetworkTrial:
        calls.append(name)
        return NetworkTrial(prunable=1, parameters=2)

    monkeypatch.setattr(trials, "tried", counted)
    file, name = tmp_path / "tried_net.py", "tried_net:make"
    file.write_text(NETWORK.format(layers=LAYERS.format(activation="ReLU")))
    for _ in range(2):
        assert trial(name) == NetworkTrial(prunable=1, parameters=2)
    assert len(calls) == 1
    file.write_text(NETWORK.format(layers=LAYERS.format(activation="Tanh")))
    trial(name)
    trial(name, layers="conv+linear")
    trial(name, optimizer="adamw")
    trial(name, graph=True)
    assert len(calls) == 5
    for kept in cache.iterdir():
        kept.write_text('{"prunable": "many"}')
    trial(name)
    assert len(calls) == 6


def test_a_refusal_is_not_kept_and_no_cache_is_needed(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError):
        trial("support.networks:spectral")
    assert not cache.exists()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PRAC_CACHE", str(tmp_path / "file"))
    assert trial("support.networks:Volumes").prunable == 4 * 3 * 9
