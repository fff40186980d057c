"""Networks without their dead channels: the same outputs, and no channel that could still go."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from prac import Mask, global_magnitude
from prac.errors import ConfigError
from prac.models.describe import forward_flops
from prac.models.registry import build_model
from prac.pruning.prunable import prunable_weights
from prac.ticket.shrink import resized, shrink

SHAPES = {
    "conv4": (8, 8, 3),
    "vgg8s": (8, 8, 1),
    "airbench8s": (10, 10, 3),
    "vgg11": (32, 32, 3),
    "resnet8": (8, 8, 3),
    "resnet20s": (16, 16, 3),
    "resnet18": (16, 16, 3),
}


def _network(architecture: str, *, dead: float, sparsity: float = 0.5, seed: int = 0) -> nn.Module:
    """Random weights and statistics; a share of all filters is dead, of all biases positive."""
    shape = SHAPES[architecture]
    model = build_model(architecture, num_classes=5, image_shape=shape, seed=seed).eval()
    draw = torch.Generator().manual_seed(seed)

    def random(like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=draw)

    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.copy_(0.5 + random(module.weight))
                module.bias.copy_(random(module.bias) - 0.5)
                module.running_mean.copy_(random(module.running_mean) - 0.5)
                module.running_var.copy_(0.5 + random(module.running_var))
        global_magnitude(prunable_weights(model), Mask.dense(model), sparsity).apply_(model)
        for weight in prunable_weights(model).values():
            weight[torch.rand(len(weight), generator=draw) < dead] = 0
    return model


def _images(architecture: str, count: int = 6) -> Tensor:
    height, width, channels = SHAPES[architecture]
    draw = torch.Generator().manual_seed(5)
    return torch.randn(count, channels, height, width, generator=draw)


@pytest.mark.parametrize("architecture", SHAPES)
@pytest.mark.parametrize("dead", [0.0, 0.4, 0.9])
def test_the_outputs_are_the_same(architecture: str, dead: float) -> None:
    model = _network(architecture, dead=dead)
    before = copy.deepcopy(model.state_dict())
    shrunk = shrink(model)
    images = _images(architecture)
    with torch.inference_mode():
        expected, got = model(images), shrunk.network(images)
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    assert (shrunk.removed > 0) == (dead > 0)
    sizes = [sum(p.numel() for p in m.parameters()) for m in (model, shrunk.network)]
    assert (sizes[1] < sizes[0]) == (dead > 0)
    assert all(torch.equal(before[n], t) for n, t in model.state_dict().items())
    flops = [sum(forward_flops(m, SHAPES[architecture]).values()) for m in (model, shrunk.network)]
    assert (flops[1] < flops[0]) == (dead > 0)


def test_a_dead_filter_goes_only_where_relu_makes_it_zero() -> None:
    """Block 0 of a ResNet-8: three dead filters whose constants are -0.5, 0 and +0.5."""
    model = build_model("resnet8", num_classes=5, image_shape=(8, 8, 3), seed=0).eval()
    block = model.get_submodule("stages.0.0")
    with torch.no_grad():
        block.norm1.running_mean[:3] = torch.tensor([0.5, 0.0, 0.5])
        block.norm1.bias[:3] = torch.tensor([0.0, 0.0, 1.0])
        block.conv1.weight[:3] = 0
    shrunk = shrink(model)
    assert shrunk.widths["stages.0.0.conv1"] == (16, 14)
    assert (shrunk.removed, shrunk.channels) == (2, 16 + 32 + 64)
    kept = shrunk.network.get_submodule("stages.0.0.conv1").weight
    assert torch.equal(kept, block.conv1.weight[2:])
    images = torch.randn(4, 3, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(shrunk.network(images), model(images), rtol=1e-4, atol=1e-5)
        # Without the third one too, its constant would be missing.
        block.conv2.weight[:, 2] = 0
        assert not torch.allclose(shrunk.network(images), model(images), atol=1e-3)


def test_a_channel_that_nothing_reads_goes_whatever_it_is() -> None:
    model = build_model("conv4", num_classes=5, image_shape=(8, 8, 3), seed=0).eval()
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    with torch.no_grad():
        convolutions[1].weight[:, :10] = 0  # reads 54 of the first layer's 64
    shrunk = shrink(model)
    assert list(shrunk.widths.values()) == [(64, 54), (64, 64), (128, 128), (128, 128)]
    images = torch.randn(4, 3, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(shrunk.network(images), model(images), rtol=1e-4, atol=1e-5)


def test_what_goes_takes_others_with_it() -> None:
    """The third layer's last 100 filters read only channel 0 of the second, which is dead."""
    model = build_model("conv4", num_classes=5, image_shape=(8, 8, 3), seed=0).eval()
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    second, second_norm, third = layers[2], layers[3], layers[4]
    with torch.no_grad():
        second.weight[0] = 0
        second_norm.running_mean[0] = 1
        third.weight[28:, 1:] = 0
    assert list(shrink(model).widths.values()) == [(64, 64), (64, 63), (128, 28), (128, 128)]


def test_the_constant_before_the_mean_goes_into_the_bias() -> None:
    model = build_model("vgg8s", num_classes=5, image_shape=(8, 8, 1), seed=0).eval()
    last, norm = model.features[-3], model.features[-2]
    with torch.no_grad():
        last.weight[:7] = 0
        norm.bias[:7] = torch.linspace(-1, 2, 7)
    shrunk = shrink(model)
    (name,) = [n for n, m in model.named_modules() if m is last]
    assert shrunk.widths[name] == (128, 121)
    constants = torch.linspace(-1, 2, 7).clamp(min=0)
    expected = model.classifier.bias + model.classifier.weight[:, :7] @ constants
    torch.testing.assert_close(shrunk.network.classifier.bias, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("architecture", ["vgg11", "airbench8s", "resnet20s"])
def test_every_channel_that_is_left_is_needed(architecture: str) -> None:
    """By force: with any single channel silenced, a weight alive or a constant is lost."""
    shrunk = shrink(_network(architecture, dead=0.5, sparsity=0.8))
    again = shrink(shrunk.network)
    assert again.removed == 0
    assert min(after for _, after in shrunk.widths.values()) >= 1
    seen: dict[str, Tensor] = {}

    def watch(name: str):
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
            seen[name] = output.relu()

        return hook

    norms = {maker: maker.replace("conv1", "norm1") for maker in shrunk.widths}
    if architecture != "resnet20s":
        modules = shrunk.network.named_modules()
        layers = [name for name, m in modules if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
        norms = dict(zip(layers[::2], layers[1::2], strict=True))
    for maker, norm in norms.items():
        shrunk.network.get_submodule(norm).register_forward_hook(watch(maker))
    with torch.inference_mode():
        shrunk.network(_images(architecture, 64))
    for maker, (_, after) in shrunk.widths.items():
        filters = shrunk.network.get_submodule(maker).weight.flatten(1)
        speaks = seen[maker].flatten(2).amax(dim=(0, 2)) > 0
        # A filter without a weight is there for its constant; one channel stays in any case.
        assert bool((speaks | filters.any(dim=1)).all()) or after == 1


def test_a_layer_keeps_one_channel() -> None:
    model = _network("resnet8", dead=1.0)
    with torch.no_grad():
        for name, module in model.named_modules():
            if name.endswith("norm1"):
                module.bias.fill_(-9)
    shrunk = shrink(model)
    assert {after for _, after in shrunk.widths.values()} == {1}
    images = _images("resnet8")
    with torch.inference_mode():
        torch.testing.assert_close(shrunk.network(images), model(images), rtol=1e-5, atol=1e-5)


def test_its_weights_are_loaded_into_the_architecture() -> None:
    shrunk = shrink(_network("resnet20s", dead=0.5)).network
    fresh = build_model("resnet20s", num_classes=5, image_shape=(16, 16, 3), seed=9)
    again = resized(fresh, shrunk.state_dict()).eval()
    images = _images("resnet20s")
    with torch.inference_mode():
        assert torch.equal(again(images), shrunk(images))


def test_another_network_is_refused() -> None:
    with pytest.raises(ConfigError, match="a Sequential can't be shrunk"):
        shrink(nn.Sequential(nn.Conv2d(3, 4, 3)))
