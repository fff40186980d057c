"""Channels that died, removed for real: a smaller dense network with the same outputs.

Read in evaluation mode. A filter without a weight left doesn't give zero: BatchNorm turns its zero
into the constant c = beta - mean * gamma / sqrt(var + eps), and ReLU makes of it max(c, 0).

A channel between two layers is removed where that changes no output:

- the constant is 0 after ReLU, so the next layer adds nothing for it;
- or nothing reads it: the next layer's weights for it are all zero;
- or the next layer is the linear one behind the mean (or the maximum) over the image: the
  constant's share of it goes into the bias, exactly.

A positive constant before a padded convolution stays: at the image's border the padding is 0 and
not the constant, so no bias makes up for it. (All inner convolutions of these networks are padded.)
Only channels inside a block of a residual network are removed: those of the shortcuts' stream are
added to each other, and option-A shortcuts count on their places.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from prac.errors import ConfigError
from prac.models.airbench import AirBench
from prac.models.conv import ConvNet
from prac.models.resnet import BasicBlock, ResNet
from prac.models.state import load_state

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class _Link:
    """Channels that one layer makes and one reads: a convolution, its norm, the reader.

    averaged: the reader is the linear layer behind the mean or the maximum over the image.
    """

    maker: str
    norm: str
    eps: float
    reader: str
    averaged: bool


@dataclass(frozen=True, kw_only=True)
class Shrunk:
    """A network without its dead channels.

    widths: by convolution, channels before and after, of those whose channels can be removed.
    """

    network: nn.Module
    widths: Mapping[str, tuple[int, int]]

    @property
    def channels(self) -> int:
        """Channels between two layers, all of which could have been removed."""
        return sum(before for before, _ in self.widths.values())

    @property
    def removed(self) -> int:
        """Channels that are gone, of all layers together."""
        return sum(before - after for before, after in self.widths.values())


def shrink(network: nn.Module) -> Shrunk:
    """Remove every channel that no output of `network` in evaluation mode depends on.

    Pruned weights have to be exactly zero, as a ticket's are. A layer keeps one channel at least.
    The given network is left as it was. To predict with: in training a dead filter's BatchNorm
    would learn, and its channel with it. Raises ConfigError for a network that isn't ours.
    """
    links = tuple(_links(network))
    weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
    before = {link.maker: len(weights[f"{link.maker}.weight"]) for link in links}
    # A channel that goes may leave a filter before it unread, or one behind it without a weight.
    while any([_remove(link, weights) for link in links]):  # noqa: C419 - every link is tried
        pass
    smaller = resized(network, weights).eval()
    return Shrunk(
        network=smaller,
        widths={maker: (width, len(weights[f"{maker}.weight"])) for maker, width in before.items()},
    )


def resized(network: nn.Module, weights: Mapping[str, Tensor]) -> nn.Module:
    """A copy of the network with the given weights, its layers made to their shapes.

    So are the weights of a shrunk network loaded: `resized(build_model(...), weights)`.
    """
    made = copy.deepcopy(network)
    for name, module in list(made.named_modules()):
        if isinstance(module, nn.Conv2d):
            out_channels, in_channels = weights[f"{name}.weight"].shape[:2]
            if (out_channels, in_channels) != module.weight.shape[:2]:
                _replace(made, name, _convolution_like(module, in_channels, out_channels))
        elif isinstance(module, nn.BatchNorm2d) and module.affine:
            width = len(weights[f"{name}.weight"])
            if width != module.num_features:
                _replace(made, name, nn.BatchNorm2d(width, module.eps, module.momentum))
        elif isinstance(module, nn.Linear):
            out_features, in_features = weights[f"{name}.weight"].shape
            if (out_features, in_features) != module.weight.shape:
                _replace(made, name, nn.Linear(in_features, out_features))
    load_state(made, weights)
    return made.train(network.training)


def _links(network: nn.Module) -> Iterator[_Link]:
    if isinstance(network, (ConvNet, AirBench)):
        layers = [
            (f"features.{index}", layer)
            for index, layer in enumerate(network.features)
            if isinstance(layer, (nn.Conv2d, nn.BatchNorm2d))
        ]
        # Each convolution and the norm behind it.
        names = [
            (maker, norm) for (maker, _), (norm, _) in zip(layers[::2], layers[1::2], strict=True)
        ]
        for (maker, norm), (reader, _) in pairwise(names):
            yield _link(network, maker, norm, reader)
        yield _link(network, *names[-1], "classifier", averaged=True)
    elif isinstance(network, ResNet):
        for name, module in network.named_modules():
            if isinstance(module, BasicBlock):
                yield _link(network, f"{name}.conv1", f"{name}.norm1", f"{name}.conv2")
    else:
        raise ConfigError(
            f"a {type(network).__name__} can't be shrunk: where its channels go is not known; "
            "allowed: our residual networks, VGG and plain stacks of convolutions"
        )


def _link(
    network: nn.Module, maker: str, norm: str, reader: str, *, averaged: bool = False
) -> _Link:
    layer = network.get_submodule(norm)
    assert isinstance(layer, nn.BatchNorm2d)
    return _Link(maker=maker, norm=norm, eps=layer.eps, reader=reader, averaged=averaged)


def _remove(link: _Link, weights: Weights) -> bool:
    """Remove what can be removed between two layers; whether anything was."""
    made, read = weights[f"{link.maker}.weight"], weights[f"{link.reader}.weight"]
    dead = ~made.flatten(1).any(dim=1)
    constant = _constants(link, weights)
    unread = ~read.transpose(0, 1).flatten(1).any(dim=1)
    goes = unread | (dead & (link.averaged | (constant == 0)))
    if bool(goes.all()):
        goes[0] = False
    if not bool(goes.any()):
        return False
    if link.averaged:
        folded = (read[:, goes].double() * (constant * dead)[goes]).sum(dim=1)
        bias = weights[f"{link.reader}.bias"]
        weights[f"{link.reader}.bias"] = (bias.double() + folded).to(bias.dtype)
    stays = ~goes
    weights[f"{link.maker}.weight"] = made[stays]
    for part in ("weight", "bias", "running_mean", "running_var"):
        weights[f"{link.norm}.{part}"] = weights[f"{link.norm}.{part}"][stays]
    weights[f"{link.reader}.weight"] = read[:, stays]
    return True


def _constants(link: _Link, weights: Weights) -> Tensor:
    """What each channel would be after ReLU if its filter gave zero: float64."""
    gamma, beta, mean, variance = (
        weights[f"{link.norm}.{part}"].double()
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (beta - mean * gamma / (variance + link.eps).sqrt()).clamp(min=0)


def _convolution_like(layer: nn.Conv2d, in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(
        in_channels,
        out_channels,
        layer.kernel_size,  # type: ignore[arg-type]
        stride=layer.stride,  # type: ignore[arg-type]
        padding=layer.padding,  # type: ignore[arg-type]
        bias=layer.bias is not None,
    )


def _replace(network: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, layer)
