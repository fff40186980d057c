"""The weights that a network starts from, where they aren't drawn from the seed."""

from __future__ import annotations

from collections.abc import Mapping

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from prac.errors import ConfigError, first_line
from prac.fingerprint import fingerprint
from prac.models.catalogue import ImageShape, find_ours
from prac.models.libraries import build_library, torchvision_weights
from prac.models.registry import build_model
from prac.models.state import load_state, tied_names
from prac.plugins.objects import tensor_content


def started(
    architecture: str, file: str | None, *, num_classes: int, image_shape: ImageShape, seed: int
) -> nn.Module:
    """A network as `build_model` makes it, with the weights of a safetensors file, or of a name of
    torchvision's, where one is given: all of them, but for a layer of another number of classes,
    which stays as it was drawn.

    Raises ConfigError for a file that isn't there, can't be read or is of another network.
    """
    model = build_model(architecture, num_classes=num_classes, image_shape=image_shape, seed=seed)
    if file is None:
        return model
    if not file.endswith(".safetensors"):
        found = torchvision_weights(architecture, file)
    else:
        try:
            found = safetensors.torch.load_file(file)
        except (OSError, SafetensorError) as error:
            reason = first_line(error)
            raise ConfigError(f"model.weights: {file} can't be read: {reason}") from error
    state = model.state_dict()
    for name, first in tied_names(state).items():  # files keep a shared weight once
        if name not in found and first in found:
            found[name] = found[first]
    wrong = sorted(state.keys() ^ found.keys())
    wrong += [
        name
        for name in sorted(state.keys() & found.keys())
        if state[name].shape != found[name].shape
        and not _of_another_number_of_classes(state[name], found[name], num_classes)
    ]
    if wrong:
        shared = wrong[0] in state and wrong[0] in found
        what = "has another shape" if shared else "is in one of both alone"
        raise ConfigError(
            f"model.weights: {file} is not of {architecture}: {wrong[0]} {what}"
            + (f", and {len(wrong) - 1} more" if len(wrong) > 1 else "")
            + (
                f"; did you mean torchvision:{architecture}, which it is of?"
                if _is_of_torchvision(architecture, found, image_shape)
                else "; allowed: its state dictionary, with a last layer of any number of classes"
            )
        )
    same = {n: t if t.shape == state[n].shape else state[n] for n, t in found.items()}
    load_state(model, same)
    return model


def _is_of_torchvision(
    architecture: str, found: Mapping[str, Tensor], image_shape: ImageShape
) -> bool:
    """Whether weights are of torchvision's network of the same name as one of ours."""
    if find_ours(architecture) is None:
        return False
    try:
        theirs = build_library(f"torchvision:{architecture}", 2, (*image_shape[:2], 3))
    except ConfigError:
        return False
    return theirs.state_dict().keys() == found.keys()


def _of_another_number_of_classes(ours: Tensor, found: Tensor, num_classes: int) -> bool:
    return (
        ours.dim() > 0
        and ours.dim() == found.dim()
        and len(ours) == num_classes
        and ours.shape[1:] == found.shape[1:]
    )


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """Hash a state dictionary by its names and each tensor's type, shape and bytes: 32 hexadecimal
    digits, the same on every device and in every order of names and memory.

    For networks whose callable loads weights: their source doesn't tell which. Raises ConfigError
    for an entry without dense values.
    """
    contents = {}
    for name, tensor in state.items():
        try:
            contents[name] = tensor_content(tensor)
        except (AttributeError, RuntimeError, TypeError) as error:
            raise ConfigError(
                f"weights {name!r} are of type {type(tensor).__name__} and have no bytes to hash; "
                "allowed: a dense torch.Tensor"
            ) from error
    return fingerprint(contents)
