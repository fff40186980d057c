"""Small networks, each with habits that public code has, and networks that no mask holds in."""

from __future__ import annotations

import dataclasses
import random
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune


class Shared(nn.Module):
    """One weight in two convolutions; an 8x8 map flattened by `view`; a layer that nothing calls; a
    frozen one; dropout; auxiliary logits in training."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, 4, 3, padding=1).requires_grad_(False)
        self.one = nn.Conv2d(4, 4, 3, padding=1)
        self.two = nn.Conv2d(4, 4, 3, padding=1)
        self.two.weight = self.one.weight
        self.spare = nn.Conv2d(4, 4, 3)
        self.norm = nn.BatchNorm2d(4, affine=False)
        self.head, self.aside = nn.Linear(256, num_classes), nn.Linear(256, num_classes)

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        maps = self.norm(self.two(functional.relu(self.one(self.first(images)))))
        flat = functional.dropout(maps.view(maps.size(0), -1), 0.1, self.training)
        return (self.head(flat), self.aside(flat)) if self.training else self.head(flat)


class Deepens(nn.Module):
    """A layer that is left out by chance, which Python draws."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(in_channels, 4, 3, padding=1)
        self.two = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.one(images)
        if not self.training or random.random() < 0.5:
            maps = self.two(maps)
        made: Tensor = self.head(maps.mean((2, 3)))
        return made


def frozen(num_classes: int, in_channels: int) -> nn.Module:
    """Nothing of it trains."""
    return dropping(num_classes, in_channels).requires_grad_(False)


def dropping(num_classes: int, in_channels: int) -> nn.Module:
    """Draws in training mode."""
    layers = [nn.Conv2d(in_channels, 8, 3), nn.Dropout(0.5), nn.ReLU(), nn.Conv2d(8, 4, 3)]
    return _ending(nn.Sequential(*layers), num_classes)


_made: list[nn.Module] = []


def once(num_classes: int, in_channels: int) -> nn.Module:
    """The same network each time that one is asked for."""
    if not _made:
        _made.append(dropping(num_classes, in_channels))
    return _made[0]


def sharing(num_classes: int, in_channels: int) -> nn.Module:
    """New layers around a backbone that is made once."""
    return nn.Sequential(once(3, in_channels), nn.Linear(3, num_classes))


_count = 0


def wider(num_classes: int, in_channels: int) -> nn.Module:
    """Another width each time."""
    global _count
    _count += 1
    layers = [nn.Conv2d(in_channels, 4 + _count, 3), nn.ReLU(), nn.Conv2d(4 + _count, 4, 3)]
    return _ending(nn.Sequential(*layers), num_classes)


def numpy_made(num_classes: int, in_channels: int) -> nn.Module:
    """Weights that NumPy draws."""
    model = dropping(num_classes, in_channels)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.from_numpy(np.random.standard_normal(tuple(weight.shape))))
    return model


class BatchNormed(nn.Module):
    """Statistics of one number a sample: of one sample alone there are none."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(in_channels, 4, 3), nn.BatchNorm1d(4)
        self.head = nn.Linear(4, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(self.conv(images).mean((2, 3))))
        return logits


class Branching(nn.Module):
    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(in_channels, 4, 3), nn.Linear(4, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.conv(images).mean((2, 3))
        logits: Tensor = self.head(maps * 2 if maps.mean() > 0.1 else maps)
        return logits


class BufferDrawn(Branching):
    """A table that Python draws when the network is made, and that no ticket has."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__(num_classes, in_channels)
        self.register_buffer("table", torch.tensor([random.random()]), persistent=False)


class Volumes(nn.Module):
    """Weights of five axes, which have no channels-last form."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv3d(1, 4, (in_channels, 3, 3)), nn.Linear(4, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.conv(images[:, None]).mean((2, 3, 4)))
        return logits


class Centred(nn.Conv2d):
    def forward(self, images: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return functional.conv2d(images, weight, self.bias, groups=self.groups)


def _ending(layer: nn.Module, num_classes: int) -> nn.Module:
    return nn.Sequential(layer, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))


def centred(num_classes: int, in_channels: int) -> nn.Module:
    return _ending(Centred(in_channels, 4, 3), num_classes)


def depthwise_centred(num_classes: int, in_channels: int) -> nn.Module:
    layers = nn.Sequential(nn.Conv2d(in_channels, 4, 1), Centred(4, 4, 3, groups=4))
    return _ending(layers, num_classes)


def spectral(num_classes: int, in_channels: int) -> nn.Module:
    layer: nn.Module = parametrizations.spectral_norm(nn.Conv2d(in_channels, 4, 3))
    return _ending(layer, num_classes)


def pruned_before(num_classes: int, in_channels: int) -> nn.Module:
    layer = prune.l1_unstructured(nn.Conv2d(in_channels, 4, 3), "weight", 0.3)  # type: ignore[no-untyped-call]
    return _ending(layer, num_classes)


class Ending(nn.Module):
    """A convolution, its mean and a linear layer; those below change one thing."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(in_channels, 4, 3, padding=1), nn.Linear(4, num_classes)
        self.block = nn.Conv2d(4, 4, 3, padding=1)

    def features(self, images: Tensor) -> Tensor:
        maps = functional.relu(self.conv(images))
        found: Tensor = (maps + self.block(maps)).mean((2, 3))
        return found

    def forward(self, images: Tensor) -> Any:
        return self.head(self.features(images))


class Remembers(Ending):
    """Its forward pass reads and changes buffers, of types that no sum is made of among them."""

    mean: Tensor
    kept: Tensor
    step: Tensor

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__(num_classes, in_channels)
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("kept", torch.tensor([True, True, False, True]))
        self.register_buffer("step", torch.zeros((), dtype=torch.int16))

    def forward(self, images: Tensor) -> Any:
        found = self.features(images)
        if self.training:
            self.step += 1
            self.mean = 0.9 * self.mean + 0.1 * found.detach().mean(0)
        return self.head((found - self.mean) * self.kept)


class LeavesOut(Ending):
    """By chance a layer isn't called: another set of parameters in each step and share."""

    def features(self, images: Tensor) -> Tensor:
        maps = functional.relu(self.conv(images))
        leaves_out = self.training and torch.rand(()) < 0.5
        return (maps if leaves_out else maps + self.block(maps)).mean((2, 3))


class NoneBeside(Ending):
    """An auxiliary output that is switched off, as torchvision's GoogLeNet has it."""

    def forward(self, images: Tensor) -> Any:
        logits = super().forward(images)
        return (logits, None) if self.training else logits


class FeaturesBeside(Ending):
    def forward(self, images: Tensor) -> Any:
        found = self.features(images)
        return (self.head(found), found) if self.training else self.head(found)


class Named(Ending):
    def forward(self, images: Tensor) -> Any:
        logits = super().forward(images)
        return {"logits": logits} if self.training else logits


class NamedBeside(Ending):
    """A dict as torchvision's networks of segmentation give it, with features beside."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__(num_classes, in_channels)
        self.aside = nn.Linear(4, num_classes)

    def forward(self, images: Tensor) -> Any:
        found = self.features(images)
        answer = {"features": found, "out": self.head(found)}
        return {**answer, "aux": self.aside(found)} if self.training else answer


@dataclasses.dataclass
class Answer(OrderedDict[str, Any]):
    """A mapping and a dataclass in one, without what is None, as transformers have it."""

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if (value := getattr(self, field.name)) is not None:
                self[field.name] = value


class Output(Ending):
    def forward(self, images: Tensor) -> Any:
        found = self.features(images)
        return Answer(logits=self.head(found), hidden_states=(images, found))


class Pair(NamedBeside):
    """Two logits, in evaluation too."""

    def forward(self, images: Tensor) -> Any:
        found = self.features(images)
        return self.head(found), self.aside(found)


class Unnamed(Ending):
    def forward(self, images: Tensor) -> Any:
        found = self.features(images)
        return {"scores": self.head(found), "features": found}


class Segments(Ending):
    def forward(self, images: Tensor) -> Any:
        return {"out": super().forward(images)[:, :, None, None].expand(-1, -1, 8, 8)}


class Forgets(Ending):
    """A buffer that no state dictionary has, and that training changes."""

    scale: Tensor

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__(num_classes, in_channels)
        self.register_buffer("scale", torch.ones(4), persistent=False)

    def forward(self, images: Tensor) -> Any:
        if self.training:
            self.scale += 0.1
        return self.head(self.features(images) * self.scale)


class Counts(Ending):
    """What it gives depends on how often it was called, which is no buffer."""

    calls = 0

    def forward(self, images: Tensor) -> Any:
        self.calls += 1
        return super().forward(images) * self.calls


class NumpyDrawn(Ending):
    def forward(self, images: Tensor) -> Any:
        return super().forward(images) * float(np.random.default_rng().random())


class ExtraState(Ending):
    def get_extra_state(self) -> dict[str, int]:
        return {"version": 1}

    def set_extra_state(self, state: Any) -> None:
        assert state == {"version": 1}


class Mlp(nn.Module):
    """Linear layers alone."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        hidden = [nn.Linear(in_channels * 64, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU()]
        self.net = nn.Sequential(nn.Flatten(), *hidden, nn.Linear(16, num_classes))

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.net(images)
        return logits


class Attention(nn.Module):
    """A patch embedding, attention, a classifier that is made first and called last."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.head = nn.Linear(8, num_classes)
        self.patches = nn.Conv2d(in_channels, 8, 2, stride=2)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).transpose(1, 2)
        attended, _ = self.attention(tokens, tokens, tokens, need_weights=False)
        logits: Tensor = self.head((tokens + attended).mean(1))
        return logits


def linear_alone(num_classes: int, in_channels: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * 64, num_classes))


def scaled_linear(num_classes: int, in_channels: int) -> nn.Module:
    last: nn.Module = parametrizations.weight_norm(nn.Linear(4 * 36, num_classes))
    return nn.Sequential(nn.Conv2d(in_channels, 4, 3), nn.Flatten(), last)


class Double(Ending):
    """Weights of another type than the images."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__(num_classes, in_channels)
        self.double()

    def forward(self, images: Tensor) -> Any:
        return super().forward(images.double())


class Handed(nn.Module):
    """Its convolution is never called: its weight is handed to the function, as it is or centred.

    A layer of the same shape is called beside it.
    """

    centred = False

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, 4, 3, padding=1)
        self.one, self.two = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        weight = self.two.weight
        if self.centred:
            weight = weight - weight.mean((1, 2, 3), keepdim=True)
        maps = functional.relu(self.one(functional.relu(self.first(images))))
        maps = functional.conv2d(maps, weight, self.two.bias, padding=1)
        logits: Tensor = self.head(functional.relu(maps).mean((2, 3)))
        return logits


class HandedCentred(Handed):
    """A pruned weight takes part by the mean."""

    centred = True


class Late(Ending):
    """A buffer that is not there before it is needed."""

    def forward(self, images: Tensor) -> Any:
        if self.training and not hasattr(self, "seen"):
            self.register_buffer("seen", torch.zeros(1))
        return super().forward(images)


class Grows(Ending):
    """A buffer that is longer after every pass."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__(num_classes, in_channels)
        self.cache: Tensor
        self.register_buffer("cache", torch.zeros(0), persistent=False)

    def forward(self, images: Tensor) -> Any:
        self.cache = torch.cat([self.cache, torch.zeros(4)])
        return super().forward(images)


class NotFinite(Ending):
    """Its logits are no numbers."""

    def forward(self, images: Tensor) -> Any:
        return super().forward(images) / 0 * 0


class Exits(Ending):
    """Ends the process in its forward pass, as a script may that was made a network."""

    def forward(self, images: Tensor) -> Any:
        raise SystemExit(0)


class ExitsInTraining(Ending):
    def forward(self, images: Tensor) -> Any:
        if self.training:
            raise SystemExit(0)
        return super().forward(images)


class Complex(Ending):
    """A parameter that no file of weights keeps."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__(num_classes, in_channels)
        self.turn = nn.Parameter(torch.ones(num_classes, dtype=torch.complex64))

    def forward(self, images: Tensor) -> Any:
        return (super().forward(images) * self.turn).real


def viewed(num_classes: int, in_channels: int) -> nn.Module:
    """Two parameters in one memory."""
    model = dropping(num_classes, in_channels)
    (first, *_) = (layer for layer in model.modules() if isinstance(layer, nn.Conv2d))
    twin = nn.Conv2d(in_channels, 8, 3)
    twin.weight = nn.Parameter(first.weight.data)
    return nn.ModuleDict({"one": model, "two": twin})


class DropsState(Branching):
    """Its state dictionary leaves a layer out, and takes one without it."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__(num_classes, in_channels)
        self._register_state_dict_hook(self._drop)  # type: ignore[no-untyped-call]

    @staticmethod
    def _drop(_module: nn.Module, state: dict[str, Tensor], prefix: str, _local: Any) -> None:
        for name in [name for name in state if "conv" in name]:
            del state[name]

    def load_state_dict(self, state: Any, strict: bool = True, assign: bool = False) -> Any:
        return super().load_state_dict(state, strict=False, assign=assign)


class NumpyDepth(Deepens):
    """The same, by NumPy."""

    def forward(self, images: Tensor) -> Tensor:
        maps = self.one(images)
        if not self.training or np.random.rand() < 0.5:
            maps = self.two(maps)
        made: Tensor = self.head(maps.mean((2, 3)))
        return made


class Standardised(Branching):
    """Its convolution is called by another weight, made of its own."""

    def forward(self, images: Tensor) -> Tensor:
        own = self.conv.weight
        made = {"weight": own - own.mean((1, 2, 3), keepdim=True)}
        maps: Tensor = torch.func.functional_call(self.conv, made, (images,))
        logits: Tensor = self.head(maps.mean((2, 3)))
        return logits


class Beside(Branching):
    """Uses its convolution as it is, and once more by a weight made of its own."""

    def forward(self, images: Tensor) -> Tensor:
        own = self.conv.weight
        maps = self.conv(images) + functional.conv2d(images, own - own.mean())
        logits: Tensor = self.head(maps.mean((2, 3)))
        return logits


class Hyper(Branching):
    """A weight as large as its convolution's, made of others: no prunable one is left out."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__(num_classes, in_channels)
        self.made = nn.Linear(2, self.conv.weight.numel())

    def forward(self, images: Tensor) -> Tensor:
        weight = self.made(torch.ones(2)).view_as(self.conv.weight)
        maps = self.conv(images) + functional.conv2d(images, weight)
        logits: Tensor = self.head(maps.mean((2, 3)))
        return logits
