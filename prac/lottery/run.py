"""How one stage is run and kept, by every executor alike."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping

from prac.errors import EventLogError, StoreError
from prac.lottery.attempts import Attempt, noted
from prac.lottery.env import Env, Work
from prac.lottery.graph import Stage
from prac.lottery.kinds import KINDS
from prac.lottery.outputs import Made
from prac.lottery.store import DamagedArtifact, Finished, Store, StoreAway
from prac.training.made_by import process_made_by

TRAIN_PREFIX = "train-"
"""Of the folders that a training on workers makes in a work folder for itself."""


def run_stage(stage: Stage, inputs: Mapping[str, Finished], env: Env, store: Store) -> Finished:
    """Run one stage here and commit what it made; the store has it only when it is complete.

    Where another pipeline has made it meanwhile, that is taken: two that run at once share their
    work folders, and the one that is done first cleans up. Raises DamagedArtifact for an input that
    is missing or changed, the events of a dense run among them; StoreAway where none of those are
    there.
    """
    if (other := store.find_one(stage)) is not None:
        return other
    started = time.time()
    try:
        made = make(stage, inputs, env, store)
        if (other := store.find_one(stage)) is not None:
            return other
        finished = store.commit(stage, made, data=env.data, started=started)
    except StoreAway:
        raise
    except Exception as error:
        # What went wrong is told, not that the store couldn't be asked.
        with contextlib.suppress(StoreAway):
            if (other := store.find_one(stage)) is not None:
                return other
        if isinstance(error, EventLogError) and "dense" in inputs:
            raise _blamed(error, inputs["dense"], env) from error
        raise
    # Another pipeline may be writing there; `prac gc` finds what stays.
    with contextlib.suppress(OSError):
        clean(stage, env)
    return finished


def _blamed(error: EventLogError, dense: Finished, env: Env) -> StoreError:
    """What events that can't be read say of the dense run that left them."""
    from prac.lottery.round_events import event_folder  # torch

    events = event_folder(env.work(dense.key))
    if events.names():
        return DamagedArtifact(dense, str(error))
    # What is not mounted, or another folder than the one it wrote to, holds none.
    return StoreAway(
        f"the events of stage {dense.name} are away: nothing is in {events.describe()}; bring them "
        "back, or name the storage where they are (--storage). Where they are lost for good, "
        f"have it made again: remove its run, {dense.run_id}, from the store"
    )


def make(stage: Stage, inputs: Mapping[str, Finished], env: Env, store: Store) -> Made:
    """What a stage makes, with the wall time (where it doesn't know better) and the energy of all
    attempts at it, and what made it."""
    work = Work(stage, env, {role: finished.key for role, finished in inputs.items()})
    place = work.folder if KINDS[stage.kind].works else None
    with Attempt(place, env.meter(stage)) as attempt:
        read = {role: store.read(finished) for role, finished in inputs.items()}
        made: Made = KINDS[stage.kind].step()(stage.config, work, **read)
    paid = attempt.cost()
    cost = dataclasses.replace(
        made.cost,
        seconds=made.cost.seconds or paid.seconds,
        joules=paid.joules,
        energy_source=paid.energy_source,
    )
    # What computes with a network says so itself: its device, its workers, earlier attempts.
    return dataclasses.replace(made, cost=cost, made_by=made.made_by or process_made_by())


def clean(stage: Stage, env: Env) -> None:
    """Remove what is of no use in a stage's work folder once it is committed."""
    kind = KINDS[stage.kind]
    if not kind.works:
        return
    work = env.work(stage.key)
    if kind.keeps == "nothing":
        work.delete()
        return
    for name in ("checkpoint.safetensors", *noted(work)):
        work.remove(name)
    for name in work.folders():
        # Of runs that were killed.
        if name.startswith(TRAIN_PREFIX):
            work.child(name).delete()
