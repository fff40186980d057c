"""What every stage is handed, wherever it runs: the store, the data, where to work, with what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray

from prac.config.sections import AugmentConfig
from prac.data.dataset import ImageDataset
from prac.storage import Folder
from prac.tracking.store import Store

# The driver hands contexts out and computes nothing: it does without torch.
if TYPE_CHECKING:
    from prac.data.batches import DeviceImages


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Machinery that changes how fast a result comes, not what it is.

    storage: a folder or URI that all nodes reach, for events and checkpoints.
    workers: data-parallel workers of dense training (this one is science too: it is in the key).
    min_workers: that are enough to go on with; None is all of them. Fewer take the same
    shares, later.
    cpus_per_round: threads of a round. gpus_per_worker, gpus_per_round: may be fractions.
    """

    storage: str
    workers: int
    min_workers: int | None = None
    cpus_per_round: int = 1
    gpus_per_worker: float = 0
    gpus_per_round: float = 0
    max_failures: int = 3


@dataclass(frozen=True, kw_only=True)
class Context:
    """The same for all stages of a pipeline. `dataset` is a reference to one ImageDataset that all
    processes of a node share; `desk` is a NewsDesk."""

    store: Store
    data: str
    augment: AugmentConfig
    dataset: list[Any]
    desk: Any
    resources: Resources

    def work(self, key: str) -> Folder:
        """The folder of the stage with this key, for events and checkpoints."""
        return Folder(self.resources.storage).child(key)

    def load_dataset(self) -> ImageDataset:
        """The data set, from this node's shared memory."""
        dataset: ImageDataset = ray.get(self.dataset[0])
        return dataset

    def images(self, *, gpus: float) -> DeviceImages:
        """The data set on the device that this stage was given."""
        from prac.data.batches import DeviceImages
        from prac.training.precision import pick_device

        device = pick_device("cuda" if gpus > 0 else "cpu")
        return DeviceImages(self.load_dataset(), self.augment, device)


def use_threads(count: int) -> None:
    """Set this process's threads; Ray reuses processes, and they keep what was set before."""
    import torch

    torch.set_num_threads(max(1, count))
