"""A mask as bytes: safetensors, with the order of its weights, which decides ties."""

from __future__ import annotations

import json

import safetensors.torch
import torch

from prac.errors import TicketError
from prac.pruning.mask import Mask
from prac.schema import parse


def mask_to_bytes(mask: Mask) -> bytes:
    """The mask as a safetensors file."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in mask.items()}
    return safetensors.torch.save(tensors, {"prac.order": json.dumps(list(mask))})


def mask_from_bytes(data: bytes) -> Mask:
    """The mask that `mask_to_bytes` wrote.

    Raises TicketError for a file that is cut short, of another kind or holds more than zeros and
    ones; a zero that became a one is for the checksum of whoever keeps the file to find.
    """
    try:
        length = int.from_bytes(data[:8], "little")
        order = parse(parse(data[8 : 8 + length])["__metadata__"]["prac.order"])
        tensors = safetensors.torch.load(data)
        alive = {name: tensors.pop(name) for name in order}
        if tensors or any(bool((t.view(torch.uint8) > 1).any()) for t in alive.values()):
            raise ValueError("not a mask")
        return Mask(alive)
    except (ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise TicketError(f"the mask file is damaged ({error})") from error
