"""Whose the folders of a storage are, where several stores keep their events and checkpoints in it.

Each store writes there, under an identity of its own, the stages that its pipelines work on:
`stores/IDENTITY/PIPELINE.json`. What another claims is touched by nobody else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from prac.errors import StoreError
from prac.lottery.identity import Identity
from prac.lottery.kept import Pipeline
from prac.lottery.kinds import KINDS
from prac.schema import Key, SchemaError, read
from prac.storage import Folder

CLAIMS = "stores"


@dataclass(frozen=True)
class Claim:
    """What a store claims for a pipeline: the keys of stages."""

    folder: Folder
    file: str
    keys: frozenset[str]

    @property
    def pipeline(self) -> str:
        """Its key."""
        return self.file.removesuffix(".json")

    def delete(self) -> None:
        """The pipeline is gone."""
        self.folder.remove(self.file)


def claim(storage: Folder, identity: Identity, pipeline: Pipeline) -> None:
    """Before anything is written for a pipeline: the folders of its stages are this store's.

    Raises StoreError.
    """
    keys = {key for key, name in pipeline.needs.items() if _works(name)}
    folder, file = storage.child(CLAIMS, identity.name), f"{pipeline.key}.json"
    known = _read(folder, file) if folder.exists(file) else frozenset()
    if keys - known:
        folder.write(file, json.dumps(sorted(keys | known)).encode())


def _works(stage: str) -> bool:
    kind = KINDS.get(stage.partition(":")[0])
    return kind is not None and kind.works


def claims(storage: Folder) -> Mapping[str, list[Claim]]:
    """All claims in a storage, by who has them. Raises StoreError for one that can't be read."""
    root = storage.child(CLAIMS)
    return {
        name: [Claim(folder, file, _read(folder, file)) for file in folder.names()]
        for name in root.folders()
        for folder in [root.child(name)]
    }


def _read(folder: Folder, file: str) -> frozenset[str]:
    try:
        return frozenset(read(list[Key], folder.read(file).to_pybytes()))
    except (OSError, SchemaError) as error:
        raise StoreError(
            f"{folder.describe(file)} can't be read ({error}): whose folders there are is not known"
        ) from error
