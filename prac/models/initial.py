"""The weights that a network starts from, where they aren't drawn from the seed."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from prac.errors import ConfigError
from prac.fingerprint import fingerprint
from prac.plugins.objects import tensor_content


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
