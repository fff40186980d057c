"""What trials of networks found, kept by all that they read: a plan of the same needs no torch."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import json
import os
from dataclasses import dataclass
from pathlib import Path

from prac import __version__
from prac.config.recipe import Recipe
from prac.config.sections import Precision, PruneConfig
from prac.fingerprint import fingerprint
from prac.models.catalogue import ImageShape
from prac.plugins import identity, is_custom, is_of_this_process
from prac.schema import Count, SchemaError, file_bytes, read

CACHE = "PRAC_CACHE"
"""Environment variable: the folder of what is kept and can be found again, in place of
`~/.cache/prac`."""
_VERSION = 2
"""Rises when a trial finds more than it did."""


@dataclass(frozen=True, kw_only=True)
class NetworkTrial:
    """What a network that can be searched is like.

    prunable, parameters: weights, a tied one once. no_graph: why its tickets have no graph that
    others can load; None where they have one, or where it wasn't asked.
    """

    prunable: Count
    parameters: Count
    no_graph: str | None = None

    def lines(self, name: str, prune: PruneConfig) -> list[str]:
        """What a person should know before a run."""
        share = self.prunable / max(1, self.parameters)
        told = f"{name}: {share:.1%} of its {self.parameters:,} weights are prunable"
        told += f" (prune.layers={prune.layers})"
        if share < 0.5:
            told += "; warning: sparsity is of these alone. prune.layers=conv+linear or "
            told += "all-but-head prunes more"
        found = [told]
        if self.no_graph is not None:
            found.append(f"{name}: its tickets are kept without a graph: {self.no_graph}")
        return found


def try_kept(
    name: str,
    num_classes: int,
    image_shape: ImageShape,
    recipe: Recipe,
    precision: Precision,
    *,
    graph: bool,
) -> NetworkTrial:
    """The trial of a network, or what an earlier one of the same source and settings found.

    graph: whether an export is tried. Refusals are not kept. Raises ConfigError.
    """
    read = {
        "version": (_VERSION, __version__),
        "libraries": tuple(importlib.metadata.version(each) for each in ("torch", "torchvision")),
        "network": identity(name),
        "optimizer": identity(recipe.train.optimizer),
        "images": (num_classes, *image_shape),
        "train": recipe.train,
        "reads": (precision, recipe.prune.layers, graph),
    }
    file = _folder() / f"{fingerprint(read)}.json"
    keeps = not (is_custom(name) and is_of_this_process(name))
    found = _read(file) if keeps else None
    if found is None:
        from prac.lottery.trying import tried  # torch

        found = tried(name, num_classes, image_shape, recipe, precision, graph=graph)
        if keeps:
            _write(file, found)
    return found


def _folder() -> Path:
    own = os.environ.get(CACHE)
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return (Path(own) if own else Path(cache) / "prac") / "trials"


def _read(file: Path) -> NetworkTrial | None:
    """None for what isn't there or isn't whole: it is tried again."""
    try:
        return read(NetworkTrial, file_bytes(file))
    except (OSError, SchemaError):
        return None


def _write(file: Path, found: NetworkTrial) -> None:
    """A cache that can't be written is none."""
    scratch = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps(dataclasses.asdict(found)))
        scratch.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            scratch.unlink()
