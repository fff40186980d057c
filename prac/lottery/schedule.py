"""Which stages of a graph are ready to run, kept up to date as they finish.

Linear in the graph: a stage is looked at when it is wanted and when one of its inputs finishes.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping

from prac.lottery.graph import Stage
from prac.lottery.kinds import KINDS
from prac.lottery.store import Finished


class Schedule:
    """The stages that are wanted, in the order in which they should run.

    finished: by stage name; a stage whose results nobody who runs has to read is not run.
    """

    def __init__(self) -> None:
        self.stages: dict[str, Stage] = {}
        self.finished: dict[str, Finished] = {}
        self._wanted: set[str] = set()
        self._at_work: set[str] = set()
        # By stage: how many of its inputs are still to come, and who waits for it.
        self._missing: dict[str, int] = {}
        self._waiting: dict[str, dict[str, None]] = {}
        # Those that take moments, and those that train: neither waits behind the other.
        self._ready: dict[bool, list[tuple[int, int, int, str]]] = {True: [], False: []}
        self._places: dict[str, int] = {}

    def add(self, stages: Mapping[str, Stage], finished: Mapping[str, Finished]) -> None:
        """More stages, and those of them that are finished, by name. None is wanted yet."""
        for name, stage in stages.items():
            self._places.setdefault(name, len(self._places))
            self.stages[name] = stage
        self.finished.update(finished)

    def want(self, names: Iterable[str]) -> None:
        """Run these, and what they need, unless they are finished."""
        left = list(names)
        while left:
            name = left.pop()
            if name in self._wanted or name in self.finished:
                continue
            self._wanted.add(name)
            inputs = dict.fromkeys(self.stages[name].inputs.values())
            missing = [other for other in inputs if other not in self.finished]
            self._missing[name] = len(missing)
            for other in missing:
                self._waiting.setdefault(other, {})[name] = None
            left.extend(missing)
            if not missing:
                self._push(name)

    @property
    def open(self) -> int:
        """How many stages are wanted and not finished."""
        return len(self._wanted)

    def peek(self, *, small: bool | None = None) -> Stage | None:
        """The stage that should start next, of those that take moments (small) or of those that
        train; None where none is ready."""
        first = [rank for of in self._ready if small in (None, of) and (rank := self._first(of))]
        return self.stages[min(first)[-1]] if first else None

    def start(self, stage: Stage) -> None:
        """Take the stage that `peek` showed. Raises ValueError for another one."""
        *_, first = self._ready[_is_small(stage)][0]
        if first != stage.name:
            raise ValueError(f"{stage.name} is not next: {first} is")
        heapq.heappop(self._ready[_is_small(stage)])
        self._at_work.add(stage.name)

    def _first(self, small: bool) -> tuple[int, int, int, str] | None:
        queue = self._ready[small]
        while queue:
            name = queue[0][-1]
            ready = name in self._wanted and self._missing[name] == 0
            # One that was ready, and is so again after a damage, is in the queue twice.
            if ready and name not in self._at_work:
                return queue[0]
            heapq.heappop(queue)
        return None

    def holds(self, finished: Finished) -> bool:
        """Whether this very run counts as finished: it may have been made again meanwhile."""
        return any(finished.run_id == other.run_id for other in self.finished.values())

    def inputs(self, stage: Stage) -> dict[str, Finished]:
        """What made the inputs of a stage that is ready, by role."""
        return {role: self.finished[name] for role, name in stage.inputs.items()}

    def finish(self, name: str, finished: Finished) -> None:
        """A stage is done."""
        self.finished[name] = finished
        self._wanted.discard(name)
        self._at_work.discard(name)
        self._missing.pop(name, None)
        for other in self._waiting.pop(name, {}):
            self._missing[other] -= 1
            if self._missing[other] == 0 and other in self._wanted:
                self._push(other)

    def give_up(self, name: str) -> set[str]:
        """A stage can't be made: it and all that needs it are no longer wanted; their names."""
        lost, left = set(), [name]
        while left:
            gone = left.pop()
            if gone in self._wanted:
                self._wanted.discard(gone)
                self._at_work.discard(gone)
                lost.add(gone)
                left.extend(self._waiting.pop(gone, {}))
        return lost

    def again(self, name: str) -> None:
        """A stage that was started, or finished and found damaged, has to run: once more, or once
        what it needs is there."""
        was_finished = self.finished.pop(name, None) is not None
        self._wanted.discard(name)
        self._at_work.discard(name)
        if was_finished:
            # Who was about to read it waits again; who is at work finds out by itself, or has read
            # it already.
            for other in sorted(self._wanted - self._at_work, key=self._places.__getitem__):
                if name in self.stages[other].inputs.values():
                    self._missing[other] += 1
                    self._waiting.setdefault(name, {})[other] = None
        self.want([name])

    def _push(self, name: str) -> None:
        stage = self.stages[name]
        rank = (KINDS[stage.kind].priority, stage.round_index, self._places[name], name)
        heapq.heappush(self._ready[_is_small(stage)], rank)


def _is_small(stage: Stage) -> bool:
    return KINDS[stage.kind].needs == "moments"
