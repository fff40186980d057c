"""What differs between a stage in this process and one on a cluster; the steps are the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from prac.data.dataset import ImageDataset
from prac.lottery.graph import Stage
from prac.storage import Folder

# Whoever hands stages out computes nothing and does without torch.
if TYPE_CHECKING:
    import pyarrow as pa

    from prac.data.batches import DeviceImages
    from prac.lottery.energy import EnergyMeter
    from prac.lottery.rounds import RoundOutcome, RoundTask
    from prac.training.observers import OnEpoch


class Env(Protocol):
    """What stages are handed, wherever they run."""

    @property
    def data(self) -> str:
        """The fingerprint of the data set."""

    def dataset(self) -> ImageDataset: ...

    def images(self) -> DeviceImages:
        """The data set on the device of this process, which computes with its threads."""

    def work(self, key: str) -> Folder:
        """The folder of the stage with this key, for events and checkpoints."""

    def train(self, task: RoundTask, work: Work) -> RoundOutcome:
        """Train a round; its events stay in its folder."""

    def count(self, key: str, epochs: int) -> pa.Table:
        """Statistics of the events of the dense run with this key. Raises EventLogError."""

    def on_epoch(self, stage: Stage) -> OnEpoch | None:
        """Who is told of a stage's epochs."""

    def meter(self, stage: Stage) -> EnergyMeter:
        """Measures the energy of a stage that begins."""


@dataclass(frozen=True)
class Work:
    """One stage at work: what its step reads beside the configuration and the inputs.

    input_keys: the keys of the stages that made its inputs, by role.
    """

    stage: Stage
    env: Env
    input_keys: Mapping[str, str]

    @property
    def run(self) -> str:
        """The key of the stage: of its checkpoints and events."""
        return self.stage.key

    @property
    def folder(self) -> Folder:
        """Where its checkpoints and events are."""
        return self.env.work(self.stage.key)

    @property
    def on_epoch(self) -> OnEpoch | None:
        """Who is told of its epochs."""
        return self.env.on_epoch(self.stage)
