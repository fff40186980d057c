"""How stages train and count on a cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from prac.distributed.context import Context
from prac.lottery.env import Work

# The driver hands environments out and computes nothing: it does without torch.
if TYPE_CHECKING:
    from prac.lottery.rounds import RoundOutcome, RoundTask


@dataclass(frozen=True, kw_only=True)
class RayEnv(Context):
    """A context in which stages run."""

    def train(self, task: RoundTask, work: Work) -> RoundOutcome:
        """Round 0 by Ray Train workers; its events stay in the storage. Others in this process."""
        if work.stage.kind == "dense":
            # Ray Train takes 2 s to import: nothing that a process of rounds should pay.
            from prac.distributed.dense import train_dense

            return train_dense(task, self, work.stage.name)
        from prac.lottery.rounds import run_round

        return run_round(task, self.images(), work.folder, on_epoch=work.on_epoch)

    def count(self, key: str, epochs: int) -> pa.Table:
        """In several tasks where there are many."""
        from prac.distributed.reducer import reduce_in_parts  # torch

        return reduce_in_parts(self, run=key, epochs=epochs)
