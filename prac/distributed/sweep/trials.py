"""Ray Tune's side of a sweep: a trial asks for its rounds, waits for them, and reports them.

A trial computes nothing itself. It takes no CPU, so that any number of them can wait while the
stages they wait for have the cores.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

# The table that Tune draws on a terminal would cut through our own progress.
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import Searcher

from prac.errors import PracError
from prac.sweep.proposer import Proposer
from prac.sweep.space import Space, Values, label


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A trial waits for a goal: round `goal`, or everything where it is the number of rounds.

    reach: how far its stages may run meanwhile.
    """

    values: Values
    goal: int
    reach: int


class Exchange(Protocol):
    """Where trials ask and the foreman answers; asking again for the same is harmless."""

    def ask(self, ask: Ask) -> dict[str, Any]:
        """Wait for a goal; what is to be reported to Tune. Raises PracError where it failed."""

    def collect(self) -> list[Ask]:
        """Hand over what was asked since the last time."""

    def answer(self, name: str, goal: int, report: dict[str, Any]) -> None:
        """Answer a goal, once; a report with `failed` is an error for who asked."""


@dataclass(frozen=True)
class RayExchange:
    """An exchange in a process of its own."""

    actor: Any

    @classmethod
    def open(cls) -> RayExchange:
        """A new one, on the cluster that this process is connected to."""
        return cls(_Exchange.remote())  # type: ignore[attr-defined]

    def ask(self, ask: Ask) -> dict[str, Any]:
        report: dict[str, Any] = ray.get(self.actor.ask.remote(ask))
        return report

    def collect(self) -> list[Ask]:
        asked: list[Ask] = ray.get(self.actor.collect.remote())
        return asked

    def answer(self, name: str, goal: int, report: dict[str, Any]) -> None:
        self.actor.answer.remote(name, goal, report)


@ray.remote(num_cpus=0)
class _Exchange:
    def __init__(self) -> None:
        self._asked: list[Ask] = []
        self._answers: dict[tuple[str, int], asyncio.Future[dict[str, Any]]] = {}

    def _answer(self, name: str, goal: int) -> asyncio.Future[dict[str, Any]]:
        key = (name, goal)
        if key not in self._answers:
            self._answers[key] = asyncio.get_running_loop().create_future()
        return self._answers[key]

    async def ask(self, ask: Ask) -> dict[str, Any]:
        self._asked.append(ask)
        # Shielded: a trial that is stopped must not cancel what another waits for.
        answer = await asyncio.shield(self._answer(label(ask.values), ask.goal))
        if "failed" in answer:
            raise PracError(answer["failed"])
        return answer

    async def collect(self) -> list[Ask]:
        asked, self._asked = self._asked, []
        return asked

    async def answer(self, name: str, goal: int, report: dict[str, Any]) -> None:
        answer = self._answer(name, goal)
        if not answer.done():
            answer.set_result(report)


def follow_trial(config: dict[str, Any], *, exchange: Exchange, rounds: int, gated: bool) -> None:
    """One trial: round after round, then the judged tickets.

    gated: a round is asked for only when the scheduler let the one before pass, so that a trial
    that is stopped has cost nothing more.
    """
    values = config["values"]
    for goal in range(rounds + 1):
        ask = Ask(values=values, goal=goal, reach=goal if gated else rounds)
        tune.report(exchange.ask(ask))


@dataclass(frozen=True, kw_only=True)
class TuneSettings:
    """How Tune runs the trials. concurrency: at once. asha: stop hopeless trials early.

    grace_rounds: rounds that every trial gets. storage: where Tune keeps its own state.
    """

    concurrency: int
    asha: bool
    grace_rounds: int
    rounds: int
    storage: str
    name: str


def run_tune(
    space: Space, settings: TuneSettings, exchange: Exchange, started: Sequence[Values]
) -> None:
    """Run all trials to their end. A trial that fails ends alone.

    started: points that an earlier, killed process had begun: Optuna takes them first.
    """
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    trainable = tune.with_resources(
        tune.with_parameters(
            follow_trial, exchange=exchange, rounds=settings.rounds, gated=settings.asha
        ),
        # Tune refuses a trial that asks for nothing at all; a MiB is as good as nothing.
        {"CPU": 0, "memory": 1 << 20},
    )
    scheduler = None
    if settings.asha:
        scheduler = ASHAScheduler(
            time_attr="rounds",
            metric="validation_accuracy",
            mode="max",
            grace_period=settings.grace_rounds,
            max_t=settings.rounds + 1,
            reduction_factor=2,
        )
    proposed = space.sampler == "optuna"
    # A searcher says itself when there is nothing left to try.
    num_samples = max(space.small_size or space.trials or 1, len(started)) if proposed else 1
    tuner = tune.Tuner(
        trainable,
        param_space={} if proposed else {"values": tune.grid_search(space.points())},
        tune_config=tune.TuneConfig(
            search_alg=ProposedPoints(Proposer(space, started)) if proposed else None,
            scheduler=scheduler,
            num_samples=num_samples,
            max_concurrent_trials=settings.concurrency,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(name=settings.name, storage_path=settings.storage, verbose=0),
    )
    tuner.fit()


class ProposedPoints(Searcher):
    """A proposer as Tune asks for points and tells their results."""

    def __init__(self, proposer: Proposer) -> None:
        super().__init__(metric=["accuracy", "steps"], mode=["max", "min"])  # type: ignore[arg-type]
        self._proposer = proposer
        self._proposals: dict[str, Any] = {}

    def suggest(self, trial_id: str) -> Any:
        """A point that was not tried; the end where there is none."""
        proposed = self._proposer.propose()
        if proposed is None:
            return Searcher.FINISHED
        self._proposals[trial_id], values = proposed
        return {"values": dict(values)}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        proposal = self._proposals.pop(trial_id)
        if result and not error:
            self._proposer.tell(proposal, result["accuracy"], result["steps"])
        else:
            self._proposer.give_up(proposal)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: what was tried is found by the stages' keys."""

    def restore(self, checkpoint_path: str) -> None: ...
