"""Small stages to keep in a store, with what they made."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

from prac.lottery.graph import Stage
from prac.lottery.kinds import KINDS
from prac.lottery.outputs import Cost, Facts, File, Made, MaskFacts
from prac.lottery.stage_config import MaskConfig
from prac.lottery.store import Finished, Store


@cache
def blob(name: str) -> File[bytes]:
    """Some bytes under a name."""
    return File(name, lambda folder, data: _write(folder / name, data), Path.read_bytes)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def small_stage(key: str = "k1", kind: str = "prune") -> Stage:
    """A stage with this key."""
    return Stage(
        name=f"{kind}:conv4:prac:{key}",
        kind=kind,
        architecture="conv4",
        method="prac",
        round_index=2,
        config=MaskConfig(
            architecture="conv4",
            network=("conv4",),
            criterion=("magnitude",),
            fraction=0.2,
            iterations=1,
            scoring_samples=None,
            seed=7,
            round_index=2,
        ),
        inputs={},
        key=key,
    )


MASK_FACTS = MaskFacts(next_sparsity=0.25, next_weights_alive=3, weights=4)


def left(kind: str) -> dict[File[bytes], bytes]:
    """Files by the names of those that every stage of a kind leaves."""
    return {blob(file.name): b"left" for file in KINDS[kind].leaves}


def commit_small(
    store: Store,
    key: str = "k1",
    *,
    data: str = "d1",
    kind: str = "prune",
    facts: Facts = MASK_FACTS,
    files: dict[str, bytes] | None = None,
    started: float | None = None,
) -> Finished:
    """Commit a stage that made these files, a.bin by default, and what its kind leaves."""
    named = {"a.bin": b"hello"} if files is None else files
    made = Made(
        facts=facts,
        cost=Cost(steps=3),
        files=left(kind) | {blob(name): data for name, data in named.items()},
    )
    began = time.time() if started is None else started
    return store.commit(small_stage(key, kind), made, data=data, started=began)
