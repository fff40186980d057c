"""Which weights are prunable, by layers' kinds, by names, and without what makes the logits."""

from __future__ import annotations

import pytest
import torch
from support.networks import Attention, Mlp, Shared
from torch import nn

from prac.config.sections import PruneConfig
from prac.errors import ConfigError, TicketError
from prac.models.registry import build_model
from prac.pruning.held import hold
from prac.pruning.mask import Mask
from prac.pruning.prunable import prunable_weights

SHAPE = (8, 8, 3)


def names(model: nn.Module, layers: str) -> list[str]:
    return list(prunable_weights(model, layers, SHAPE))


def test_attention_counts_with_its_projections() -> None:
    model = Attention(5, 3)
    projections = ["attention.in_proj_weight", "attention.out_proj.weight"]
    assert names(model, "conv") == ["patches.weight"]
    assert names(model, "conv+linear") == ["head.weight", "patches.weight", *projections]
    # The head is what no other layer takes in, wherever it is made.
    assert names(model, "all-but-head") == ["patches.weight", *projections]
    total = sum(weight.numel() for weight in prunable_weights(model, "conv+linear").values())
    assert total == sum(p.numel() for p in model.parameters() if p.dim() > 1)
    apart = nn.Sequential(nn.MultiheadAttention(8, 2, kdim=4, vdim=4))
    found = list(prunable_weights(apart, "linear"))
    assert found == [*(f"0.{which}_proj_weight" for which in "qkv"), "0.out_proj.weight"]


def test_a_head_is_found_as_it_is_called() -> None:
    assert names(Mlp(16, 3), "all-but-head") == ["net.1.weight", "net.3.weight"]  # 16 classes, too
    resnet = build_model("resnet8", num_classes=3, image_shape=SHAPE, seed=0)
    assert names(resnet, "all-but-head") == names(resnet, "conv")
    # A convolution makes these logits.
    squeeze = build_model("squeezenet1_1", num_classes=3, image_shape=(32, 32, 3), seed=0)
    spared = prunable_weights(squeeze, "all-but-head", (32, 32, 3))
    assert set(prunable_weights(squeeze, "conv")) - set(spared) == {"classifier.1.weight"}
    assert all(p.grad is None and p.requires_grad for p in squeeze.parameters())


def test_names_are_patterns() -> None:
    model = Mlp(3, 3)
    assert names(model, "net.1") == ["net.1.weight"]
    assert names(model, "net.[13]*") == ["net.1.weight", "net.3.weight"]
    assert names(Attention(5, 3), "attention.*+conv") == [
        "patches.weight",
        "attention.in_proj_weight",
        "attention.out_proj.weight",
    ]
    with pytest.raises(ConfigError, match=r"called head\.\*; known: net.1.weight, net.3.weight"):
        names(model, "head.*+linear")


@pytest.mark.parametrize("layers", ["convs", "", "conv+", "all-but-head+conv", "linear,conv"])
def test_a_slip_is_refused(layers: str) -> None:
    with pytest.raises(ConfigError, match=r"prune\.layers"):
        PruneConfig(layers=layers)


def test_all_but_the_head_of_nothing_else_is_nothing() -> None:
    with pytest.raises(TicketError, match=r"no layer for prune.layers=all-but-head"):
        Mask.dense(nn.Sequential(nn.Flatten(), nn.Linear(192, 3)), "all-but-head", SHAPE)


@pytest.mark.parametrize("make", [Mlp, Attention, Shared])
def test_a_mask_of_linear_layers_holds_through_any_optimiser(make: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = make(3, 3)  # type: ignore[call-arg]
    dense = Mask.dense(model, "conv+linear")
    mask = Mask({name: torch.rand(alive.shape) < 0.4 for name, alive in dense.items()})
    hold(model, mask)
    before = {name: weight.clone() for name, weight in mask.weights(model).items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        output = model(torch.randn(4, 3, 8, 8))
        logits = output[0] if isinstance(output, tuple) else output
        nn.functional.cross_entropy(logits, torch.arange(4) % 3).backward()
        optimizer.step()
    model.load_state_dict(
        {n: t + 1 for n, t in model.state_dict().items() if t.is_floating_point()}
        | {n: t for n, t in model.state_dict().items() if not t.is_floating_point()}
    )
    for name, weight in mask.weights(model).items():
        assert not weight[~mask[name]].any(), name
        assert not torch.equal(weight, before[name]), name
