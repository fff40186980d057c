"""The graph run in this process: no cluster, no tracker, one stage after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow as pa

from prac.config.sections import AugmentConfig
from prac.data.dataset import ImageDataset
from prac.errors import OutsideError, PracError, without_passwords
from prac.lottery.energy import EnergyMeter
from prac.lottery.env import Env, Work
from prac.lottery.graph import Graph, Stage
from prac.lottery.progress import SILENT, Display, EpochNews
from prac.lottery.run import run_stage
from prac.lottery.schedule import Schedule
from prac.lottery.store import DamagedArtifact, Finished, Store
from prac.storage import Folder

# torch takes a second to import: plans, replays and checks of names do without.
if TYPE_CHECKING:
    from prac.data.batches import DeviceImages
    from prac.lottery.rounds import RoundOutcome, RoundTask, TrainRound
    from prac.training.observers import OnEpoch

MAX_DAMAGES = 3
"""How often one stage is made again because its artifacts were found damaged."""


@dataclass(frozen=True, kw_only=True)
class LocalEnv:
    """Stages in this process.

    images: decoded when they are first needed. storage: for events and checkpoints. device: `auto`,
    `cpu` or `cuda`. deterministic: by algorithms that find the same bits again, from now on in this
    process. train_round: trains rounds in place of our own loop. display: is told of
    epochs.
    """

    data: str
    load: Callable[[], ImageDataset]
    augment: AugmentConfig
    storage: Folder
    device: str = "cpu"
    threads: int | None = None
    deterministic: bool = False
    train_round: TrainRound | None = None
    display: Display = SILENT

    def dataset(self) -> ImageDataset:
        return self._dataset

    @cached_property
    def _dataset(self) -> ImageDataset:
        return self.load()

    def images(self) -> DeviceImages:
        return self._images

    @cached_property
    def _images(self) -> DeviceImages:
        import torch

        from prac.data.batches import DeviceImages
        from prac.training.precision import pick_device, use_deterministic

        if self.threads is not None:
            torch.set_num_threads(self.threads)
        if self.deterministic:
            use_deterministic(True)
        return DeviceImages(self.dataset(), self.augment, pick_device(self.device))

    def work(self, key: str) -> Folder:
        return self.storage.child(key)

    def train(self, task: RoundTask, work: Work) -> RoundOutcome:
        """Train it here; the events of the dense run are counted by a stage of their own."""
        # torch, which a plan and a replay do without.
        from prac.lottery.round_events import keep_events
        from prac.lottery.rounds import run_round, train_round

        dense = work.stage.kind == "dense"
        if self.train_round is not None:
            outcome = self.train_round(task)
            if dense and task.config.records_events:
                if outcome.events is None:
                    raise PracError(
                        "round 0 left no events, which its configuration asks its trainer for "
                        "(prac.RoundOutcome)"
                    )
                # Its statistics are reduced from them, and scores read them again.
                events, size = outcome.events(None), task.epoch_size
                keep_events(work.folder, run=task.run, epoch_size=size, events=events)
            return outcome
        run = train_round if dense else run_round
        return run(task, self.images(), work.folder, on_epoch=work.on_epoch)

    def count(self, key: str, epochs: int) -> pa.Table:
        from prac.lottery.round_events import count_epochs

        ids = self.dataset().training_ids
        counted = count_epochs(self.work(key), run=key, epochs=range(epochs), sample_ids=ids)
        return counted.statistics()

    def on_epoch(self, stage: Stage) -> OnEpoch | None:
        return lambda end: self.display.news(EpochNews.of(stage.name, end))

    def meter(self, stage: Stage) -> EnergyMeter:
        """Of the whole machine: one stage runs at a time."""
        return EnergyMeter(cpu_share=1.0, gpu_share=0.0 if self.device == "cpu" else 1.0)


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a run left: the finished stages by name, and the names of those that ran just now."""

    finished: dict[str, Finished]
    ran: frozenset[str]


def run_local(
    graph: Graph, env: LocalEnv, store: Store, *, only: Iterable[str] | None = None
) -> Ran:
    """Run what is missing of a graph, one stage after the other, but for the report.

    only: the stages that are wanted; None is the graph's targets. A damaged input is made again.
    Raises PracError where a stage fails; what finished stays in the store.
    """
    schedule = Schedule()
    found = store.find(env.data, (stage.key for stage in graph.stages.values()))
    by_name = {n: found[s.key] for n, s in graph.stages.items() if s.key in found}
    schedule.add(graph.stages, by_name)
    schedule.want(wanted(graph) if only is None else only)
    damages: dict[str, int] = {}
    ran: set[str] = set()
    while (stage := schedule.peek()) is not None:
        schedule.start(stage)
        env.display.started(stage)
        try:
            finished = run_stage(stage, schedule.inputs(stage), env, store)
        except DamagedArtifact as error:
            repair(error, schedule, store, env, env.display, damages)
            schedule.again(stage.name)
            continue
        except PracError as error:
            raise told(stage, error) from error
        # Of a plug-in, which may end the process too, or a machine that is full.
        except (Exception, SystemExit) as error:
            reason = without_passwords(f"{type(error).__name__}: {error}")
            reason = " ".join(reason.split())[:500]
            raise PracError(f"stage {stage.name}: {reason}") from error
        schedule.finish(stage.name, finished)
        ran.add(stage.name)
        env.display.finished(stage, store.read(finished).facts)
    return Ran(finished=schedule.finished, ran=frozenset(ran))


def wanted(graph: Graph) -> list[str]:
    """What a graph is for: its targets; of a report, all that it tells."""
    names: list[str] = []
    for target in graph.targets:
        stage = graph.stages[target]
        names.extend([target] if stage.kind != "report" else stage.inputs.values())
    return names


def told(stage: Stage, error: PracError) -> PracError:
    """A stage's own error, with its name in front."""
    kind = OutsideError if isinstance(error, OutsideError) else PracError
    failed = kind(f"stage {stage.name}: {error}")
    failed.exit_status = error.exit_status
    return failed


def repair(
    error: DamagedArtifact,
    schedule: Schedule,
    store: Store,
    env: Env,
    display: Display,
    damages: dict[str, int],
) -> None:
    """Revoke a damaged run and have its stage made again. Raises PracError the fourth time."""
    damaged = error.finished
    damages[damaged.key] = damages.get(damaged.key, 0) + 1
    if damages[damaged.key] > MAX_DAMAGES:
        raise PracError(f"{error}, again after {MAX_DAMAGES} new runs; check the storage")
    display.say(f"{error}: it is made again")
    store.revoke(damaged, error.what)
    for name, finished in list(schedule.finished.items()):
        if finished.run_id == damaged.run_id:
            if schedule.stages[name].kind == "dense":
                env.work(damaged.key).delete()
            schedule.again(name)
