"""A search that starts from weights: in its first round, its tickets and its keys."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import prac
from prac.analysis.outcome import settings_of
from prac.config.recipe import Recipe
from prac.config.recipes import digits
from prac.config.sections import ModelConfig
from prac.config.values import RewindPoint
from prac.errors import ConfigError
from prac.lottery.compose import build_graph
from prac.lottery.request import Request
from prac.models.initial import started
from prac.models.registry import build_model

SHAPE = (8, 8, 3)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Weights with a head of 1,000 classes."""
    model = build_model("resnet8", num_classes=1000, image_shape=SHAPE, seed=7)
    where = tmp_path / "pretrained.safetensors"
    safetensors.torch.save_file(model.state_dict(), where)
    return where


def test_all_but_the_head_is_the_file_s(file: Path) -> None:
    kept = safetensors.torch.load_file(file)
    drawn = build_model("resnet8", num_classes=3, image_shape=SHAPE, seed=0).state_dict()
    model = started("resnet8", str(file), num_classes=3, image_shape=SHAPE, seed=0)
    for name, tensor in model.state_dict().items():
        wanted = drawn[name] if name.startswith("classifier") else kept[name]
        assert torch.equal(tensor, wanted), name
    same = started("resnet8", str(file), num_classes=1000, image_shape=SHAPE, seed=0)
    assert torch.equal(same.state_dict()["classifier.weight"], kept["classifier.weight"])


def test_a_shared_weight_may_be_in_a_file_once(tmp_path: Path) -> None:
    model = build_model("support.networks:Shared", num_classes=3, image_shape=SHAPE, seed=1)
    where = tmp_path / "shared.safetensors"
    safetensors.torch.save_model(model, str(where))
    again = started("support.networks:Shared", str(where), num_classes=3, image_shape=SHAPE, seed=0)
    assert all(torch.equal(t, again.state_dict()[n]) for n, t in model.state_dict().items())


def test_what_does_not_fit_is_one_line(file: Path, tmp_path: Path) -> None:
    (tmp_path / "none.safetensors").write_text("nothing")
    for name, where, reason in (
        ("resnet14", file, r"is not of resnet14: stages\S+ is in one of both alone, and \d+ more"),
        ("resnet8", tmp_path / "absent.safetensors", "can't be read"),
        ("resnet8", tmp_path / "none.safetensors", "can't be read"),
    ):
        with pytest.raises(ConfigError, match=reason) as refused:
            started(name, str(where), num_classes=3, image_shape=SHAPE, seed=0)
        assert "\n" not in str(refused.value)
    with pytest.raises(ConfigError, match="has another shape"):
        started("resnet8", str(file), num_classes=3, image_shape=(8, 8, 1), seed=0)
    for pickle in ("weights.pt", "resnet8=a/WEIGHTS.PTH", "weights.ckpt"):
        with pytest.raises(ConfigError, match=r"allowed: FILE\.safetensors") as refused:
            ModelConfig(weights=(pickle,))
        assert "weights_only=True), '" in str(refused.value)
        assert "\n" not in str(refused.value)
    # What it advises works.
    held = tmp_path / "held.pth"
    torch.save(build_model("resnet8", num_classes=3, image_shape=SHAPE, seed=5).state_dict(), held)
    with pytest.raises(ConfigError) as refused:
        ModelConfig(weights=(str(held),))
    advice = str(refused.value).partition("state dictionary: ")[2].partition(" turns it")[0]
    exec(f"import safetensors.torch, torch; {advice}")
    turned = str(held.with_suffix(".safetensors"))
    started("resnet8", turned, num_classes=3, image_shape=SHAPE, seed=0)


def _recipe(*weights: str) -> Recipe:
    recipe = digits().with_epochs(2).replace(architectures=("resnet8",), compare=())
    recipe = recipe.set(search={"rounds": 1, "rewind": RewindPoint("init")}, select={"easy": 0.5})
    return recipe.replace(model=ModelConfig(weights=weights))


def test_a_ticket_rewinds_to_them(file: Path) -> None:
    draw = np.random.default_rng(0)
    labels = np.arange(48) % 3
    images = draw.integers(0, 255, (48, 8, 8, 3), dtype=np.uint8)
    data = {"train": (images, labels), "test": (images[:12], labels[:12])}
    ticket = prac.search(_recipe(f"resnet8={file}"), data=data).ticket
    kept = safetensors.torch.load_file(file)
    for name, alive in ticket.mask.items():
        assert torch.equal(ticket.weights[name], kept[name] * alive)
    assert ticket.weights["classifier.weight"].shape == (3, 64)
    with pytest.raises(ConfigError, match="architecture 'resnet9' is not known"):
        prac.search(_recipe(f"resnet9={file}"), data=data)


def test_a_report_says_what_it_started_from(file: Path) -> None:
    recipe = _recipe(str(file))
    request = Request(
        recipe=recipe, data="d", data_name="d", num_training=99, precision="fp32",
        weights={"resnet8": "abc"},
    )  # fmt: skip
    assert settings_of(request)["initial weights of resnet8"] == "abc"


def test_keys_hold_what_it_holds_and_not_where_it_lies(file: Path, tmp_path: Path) -> None:
    def keys(digest: str, *weights: str) -> dict[str, str]:
        request = Request(
            recipe=_recipe(*weights), data="d", data_name="d", num_training=99, precision="fp32"
        )
        request = dataclasses.replace(request, weights={"resnet8": digest} if digest else {})
        return {name: stage.key for name, stage in build_graph(request).stages.items()}

    here = keys("one", str(file))
    assert here == keys("one", "elsewhere.safetensors")
    assert not set(here.values()) & set(keys("other", str(file)).values())
    assert not set(here.values()) & set(keys("").values())


def test_a_file_for_all_is_of_those_that_are_searched(tmp_path: Path) -> None:
    """The proxy, resnet8 by default, is trained from scratch where it is trained at all."""
    model = build_model("conv4", num_classes=3, image_shape=SHAPE, seed=7)
    where = tmp_path / "conv4.safetensors"
    safetensors.torch.save_file(model.state_dict(), where)
    images = np.random.default_rng(0).integers(0, 255, (48, *SHAPE), dtype=np.uint8)
    data = {"train": (images, np.arange(48) % 3), "test": (images[:12], np.arange(12) % 3)}
    recipe = _recipe(str(where)).replace(architectures=("conv4",))
    for compare in ((), ("proxy",)):
        found = prac.search(recipe.replace(compare=compare), data=data, judge="none")
        weights = found.tickets[1].weights
        for name, alive in found.masks[1].items():
            assert torch.equal(weights[name], model.state_dict()[name] * alive)
