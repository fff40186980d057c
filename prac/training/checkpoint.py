"""A training's state after its last finished epoch: one file, replaced whole, never pickled."""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from prac.errors import CheckpointError
from prac.models.state import free_copies
from prac.schema import Count, Proportion, parse, read
from prac.storage import Folder
from prac.training.observers import EpochRecord

FILE_NAME = "checkpoint.safetensors"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a training has come. observers: what each keeps, by its name. made_by: empty where
    an earlier version noted nothing."""

    epochs: tuple[EpochRecord, ...]
    best_epoch: Count
    best_accuracy: Proportion
    stopped_early: bool
    observers: Mapping[str, dict[str, Any]]
    made_by: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Tensors by name and progress, of the run with this key."""

    run: str
    tensors: Mapping[str, Tensor]
    progress: Progress

    def save(self, folder: Folder) -> None:
        """Put it in place of the last one."""
        tensors = free_copies(self.tensors)
        progress = json.dumps(dataclasses.asdict(self.progress))
        checksum = str(_checksum(tensors, progress))
        metadata = {"prac.run": self.run, "prac.progress": progress, "prac.crc32": checksum}
        folder.write(FILE_NAME, safetensors.torch.save(tensors, metadata))

    @classmethod
    def load(cls, folder: Folder, run: str) -> Checkpoint | None:
        """The last one; None where there is none yet.

        Raises CheckpointError for a damaged file and for a checkpoint of another run.
        """
        if not folder.exists(FILE_NAME):
            return None
        data = folder.read(FILE_NAME).to_pybytes()
        where = folder.describe(FILE_NAME)
        try:
            length = int.from_bytes(data[:8], "little")
            metadata = parse(data[8 : 8 + length])["__metadata__"]
            tensors = safetensors.torch.load(data)
            found, progress = metadata["prac.run"], read(Progress, metadata["prac.progress"])
            if int(metadata["prac.crc32"]) != _checksum(tensors, metadata["prac.progress"]):
                raise ValueError("it fails its checksum")
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise CheckpointError(
                f"{where} is damaged ({reason}); remove it to start this training again"
            ) from error
        if found != run:
            raise CheckpointError(
                f"{where} is of run {found}, not of run {run}; use another storage folder"
            )
        return cls(run=run, tensors=tensors, progress=progress)


def _checksum(tensors: Mapping[str, Tensor], progress: str) -> int:
    """CRC-32 of all names, values and the progress: safetensors itself has no checksum."""
    crc = zlib.crc32(progress.encode())
    for name in sorted(tensors):
        crc = zlib.crc32(name.encode(), crc)
        crc = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, crc)
    return crc
