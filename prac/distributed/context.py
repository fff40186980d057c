"""What every stage is handed on a cluster: the data, where to work, with what, who is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray

from prac.config.sections import AugmentConfig
from prac.data.dataset import ImageDataset
from prac.distributed.given_devices import given_device, given_ids
from prac.distributed.progress import Desk, epoch_reporter
from prac.lottery.energy import EnergyMeter, NvmlCounter, num_gpus
from prac.lottery.graph import Stage
from prac.lottery.kinds import KINDS
from prac.lottery.room import Shares
from prac.machine import available_cpus
from prac.storage import Folder

# The driver hands contexts out and computes nothing: it does without torch.
if TYPE_CHECKING:
    from prac.data.batches import DeviceImages
    from prac.training.observers import OnEpoch


@dataclass(frozen=True, kw_only=True)
class Resources(Shares):
    """Machinery that changes how fast a result comes, not what it is.

    storage: a folder or URI that all nodes reach, for events and checkpoints.
    min_workers: that are enough to go on with; None is all of them.
    gpus: of a cluster of one's own. deterministic: by algorithms that find the same bits again.
    """

    storage: str
    min_workers: int | None = None
    gpus: int = 0
    deterministic: bool = False


@dataclass(frozen=True, kw_only=True)
class Context:
    """The same for all stages of a pipeline. `shared` is a reference to one ImageDataset that all
    processes of a node share; `desk` takes the news of epochs."""

    data: str
    augment: AugmentConfig
    shared: list[Any]
    desk: Desk
    resources: Resources

    def dataset(self) -> ImageDataset:
        dataset: ImageDataset = ray.get(self.shared[0])
        return dataset

    def images(self) -> DeviceImages:
        """The data set on the device that rounds are given."""
        return self.images_on(gpus=self.resources.gpus_per_round)

    def images_on(self, *, gpus: float) -> DeviceImages:
        """The data set on the device that this process was given, which computes with the threads
        of a round."""
        import torch

        from prac.data.batches import DeviceImages
        from prac.training.precision import pick_device, use_deterministic

        use_threads(self.resources.cpus_per_round)
        use_deterministic(self.resources.deterministic)
        device = pick_device(given_device() if gpus > 0 else "cpu")
        if device.type == "cuda":
            # Its process sees others' devices too: a network of the user's may say `cuda` alone.
            torch.cuda.set_device(device)
        return DeviceImages(self.dataset(), self.augment, device)

    def work(self, key: str) -> Folder:
        return Folder(self.resources.storage).child(key)

    def on_epoch(self, stage: Stage) -> OnEpoch:
        return epoch_reporter(self.desk, stage.name)

    def meter(self, stage: Stage) -> EnergyMeter:
        """Of what the executor gave this stage."""
        resources, cores = self.resources, available_cpus()
        needs = KINDS[stage.kind].needs
        if needs == "a device":
            return EnergyMeter(
                cpu_share=resources.cpus_per_round / cores,
                gpu_share=resources.gpus_per_round,
                # Its process sees those of other tasks, too.
                nvml=lambda: NvmlCounter(environ={"CUDA_VISIBLE_DEVICES": ",".join(given_ids())}),
            )
        if needs == "workers":
            # Its workers are other processes: the GPUs are theirs, not named in this environment.
            gpus = resources.workers * resources.gpus_per_worker
            return EnergyMeter(
                cpu_share=resources.workers * resources.cpus_per_round / cores,
                gpu_share=gpus / max(1, num_gpus()) if gpus else 0.0,
                nvml=lambda: NvmlCounter(environ={}),
            )
        return EnergyMeter(cpu_share=1 / cores)


def use_threads(count: int) -> None:
    """Set this process's threads; Ray reuses processes, and they keep what was set before."""
    import torch

    torch.set_num_threads(max(1, count))
