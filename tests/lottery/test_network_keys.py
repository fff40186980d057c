"""Keys hold what a user's network is: its source, and the weights that it begins with."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from prac.app.options import Options
from prac.app.planned import plan_pipeline
from prac.cli import pipeline
from prac.config.recipes import digits
from prac.errors import ConfigError
from prac.lottery.compose import build_graph
from prac.lottery.graph import Graph
from prac.lottery.request import Request
from prac.lottery.search import Local, search

NETWORK = '''
import os
import torch
from torch import nn

def small(num_classes, in_channels):
    """A small network."""
    net = nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.{activation}(), nn.Flatten(),
                        nn.Linear(144, num_classes))
    if os.path.exists({weights!r}):
        net.load_state_dict(torch.load({weights!r}, weights_only=True))
    return net
'''
RECIPE = digits().replace(compare=())

Write = Callable[..., None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes the module `mynet`, as a user would between two runs."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(activation: str = "ReLU", extra: str = "") -> None:
        text = NETWORK.format(activation=activation, weights=str(tmp_path / "weights.pt"))
        (tmp_path / "mynet.py").write_text(text + extra)
        sys.modules.pop("mynet", None)

    yield write
    sys.modules.pop("mynet", None)


def _graph() -> Graph:
    return plan_pipeline(RECIPE.replace(architectures=("mynet:small",)), Options()).graph


def _keys() -> dict[str, str]:
    return {name: stage.key for name, stage in _graph().stages.items()}


def test_another_activation_is_another_network_in_every_key(write: Write) -> None:
    write()
    before = _keys()
    write(extra="\n# a comment changes nothing\n")
    assert _keys() == before
    write("GELU")
    after = _keys()
    assert after.keys() == before.keys()
    assert not set(after.values()) & set(before.values())


def test_weights_that_a_network_loads_are_in_every_key(write: Write, tmp_path: Path) -> None:
    write()
    drawn = _keys()
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    torch.save(net.state_dict(), tmp_path / "weights.pt")
    loaded = _keys()
    assert not set(loaded.values()) & set(drawn.values())
    net.get_parameter("0.bias").data[0] += 1
    torch.save(net.state_dict(), tmp_path / "weights.pt")
    assert not set(_keys().values()) & set(loaded.values())


def test_the_criterion_of_a_plan_is_the_data_and_the_network_alone(write: Write) -> None:
    write()
    recipe = RECIPE.replace(architectures=("resnet8", "mynet:small"))
    mixed = plan_pipeline(recipe, Options()).graph.stages
    write("GELU")
    changed = plan_pipeline(recipe, Options()).graph.stages
    same = {name for name, stage in mixed.items() if changed[name].key == stage.key}
    assert {name for name in mixed if ":resnet8:" in name} <= same
    assert not [name for name in same if "mynet" in name]


@pytest.mark.parametrize(
    "words",
    [
        ["--architectures", "__main__:Net"],
        ["--compare", "__main__:Net"],
        ["--set", "train.optimizer=__main__:Net"],
        ["--set", "augment.transform=__main__:Net"],
        ["--set", "prune.criterion=__main__:Net"],
        ["--set", "select.score=__main__:Net"],
        ["--set", "select.sampler=__main__:Net", "--set", "select.score=el2n"],
        ["--set", "select.proxy=__main__:Net", "--compare", "proxy"],
    ],
)
def test_a_cluster_refuses_what_only_this_process_has(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert pipeline("x", [*words, "--plan", "--epochs", "1", "--rounds", "1"]) == 2
    said = capsys.readouterr().err
    assert "'__main__:Net' is of this process alone" in said
    assert "--executor local" in said
    assert said.count("\n") == 1


def test_functions_lambdas_and_values_are_handed_over_and_told_apart() -> None:
    def net(width: int) -> Callable[[int, int], nn.Module]:
        return lambda in_channels, num_classes: nn.Sequential(
            nn.Conv2d(in_channels, width, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(width, num_classes),
        )  # fmt: skip

    names = [RECIPE.replace(architectures=(net(width),)).architectures[0] for width in (4, 5, 4)]
    assert names[0] == names[2] != names[1]
    assert all(name.startswith("here:") for name in names)
    recipe = RECIPE.with_epochs(1).set(search={"rounds": 1})
    found = search(recipe, network=net(4), judge="none", how=Local(device="cpu", threads=1))
    assert found.ticket.build()(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    stranger = dataclasses.replace(
        found.ticket, lineage={**found.ticket.lineage, "architecture": "here:never"}
    )
    with pytest.raises(ConfigError, match="was handed over in another process"):
        stranger.build()
    assert stranger.with_network(net(4)).build()(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_the_source_of_an_optimiser_is_in_the_keys_of_what_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "own_optimiser.py"

    def keys(optimizer: str) -> dict[str, str]:
        recipe = digits().replace(architectures=("resnet8",), compare=())
        recipe = recipe.set(train={"optimizer": optimizer}, search={"rounds": 1})
        request = Request(
            recipe=recipe, data="d", data_name="d", num_training=1294, precision="fp32"
        )
        return {name: stage.key for name, stage in build_graph(request).stages.items()}

    file.write_text("from torch.optim import SGD\ndef make(p, lr): return SGD(p, lr)\n")
    before = keys("own_optimiser:make")
    file.write_text("from torch.optim import SGD\ndef make(p, lr): return SGD(p, lr / 2)\n")
    after = keys("own_optimiser:make")
    trained = {name for name in before if before[name] != after[name]}
    assert {name.partition(":")[0] for name in trained} >= {"dense", "judge"}
    assert len({keys(name)["dense:resnet8:prac"] for name in ("sgd", "adamw")}) == 2
