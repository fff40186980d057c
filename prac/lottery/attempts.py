"""What every attempt at a stage cost: those that were killed are on its bill as well."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from dataclasses import dataclass

from prac.errors import StoreError
from prac.lottery.bill import total
from prac.lottery.energy import NOT_MEASURED, EnergyMeter
from prac.lottery.outputs import Cost
from prac.schema import Amount, SchemaError, read
from prac.storage import Folder

PREFIX = "attempt-"
EVERY_SECONDS = 1.0
"""How often an attempt notes what it cost so far, and so what a kill can hide of it at most."""
EVERY_SECONDS_REMOTE = 15.0
"""The same in an object store, where a note takes a request."""


class Attempt:
    """One attempt at a stage: it notes its time and energy in the stage's work folder as it goes.

    Used as a context around the work. folder: None for a stage that has none and is not resumed.
    A note that can't be written stops no work. An attempt that is over before its first note leaves
    none.
    """

    def __init__(self, folder: Folder | None, meter: EnergyMeter) -> None:
        self._folder, self._meter = folder, meter
        self._name = f"{PREFIX}{uuid.uuid4().hex[:12]}.json"
        self._began = time.monotonic()
        local = folder is None or folder.is_local
        self._every = EVERY_SECONDS if local else EVERY_SECONDS_REMOTE
        self._over = threading.Event()
        self._noting = threading.Thread(target=self._note_until_over, daemon=True)
        self._own = Cost()

    def __enter__(self) -> Attempt:
        self._noting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._noting.join()
        self._own = self._so_far()
        if self._own.seconds >= self._every:
            # Where what was made can't be kept, the next attempt pays for this one.
            self._note(self._own)

    def cost(self) -> Cost:
        """Time and energy of this attempt, which is over, and of all before it."""
        if self._folder is None:
            return self._own
        others = [_read(self._folder, name) for name in noted(self._folder) if name != self._name]
        return total([*others, self._own])

    def _so_far(self) -> Cost:
        energy = self._meter.used()
        seconds = time.monotonic() - self._began
        return Cost(seconds=seconds, joules=energy.joules, energy_source=energy.source)

    def _note_until_over(self) -> None:
        while not self._over.wait(self._every):
            self._note(self._so_far())

    def _note(self, cost: Cost) -> None:
        told = {name: getattr(cost, name) for name in ("seconds", "joules", "energy_source")}
        if self._folder is not None:
            with contextlib.suppress(StoreError, OSError):
                self._folder.write(self._name, json.dumps(told).encode())


def noted(folder: Folder) -> list[str]:
    """The files of attempts in a stage's work folder."""
    return [name for name in folder.names() if name.startswith(PREFIX)]


@dataclass(frozen=True, kw_only=True)
class _Note:
    """As `Cost` has them."""

    seconds: Amount
    joules: Amount | None
    energy_source: str


def _read(folder: Folder, name: str) -> Cost:
    try:
        return Cost(**vars(read(_Note, folder.read(name).to_pybytes())))
    except (OSError, SchemaError):
        return Cost(energy_source=f"{NOT_MEASURED}: the note of an earlier attempt can't be read")
