"""A sweep in MLflow: one run a trial, tagged with its sweep, and one run for the finished sweep."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prac.analysis.metric import Metric
from prac.errors import StoreError
from prac.lottery.graph import Stage
from prac.lottery.outputs import SWEEP, Facts, Made
from prac.lottery.store import Finished, seal
from prac.schema import Count, SchemaError, formed, parse
from prac.tracking.connection import SWEEPS, finished_run
from prac.tracking.pages import unreadable
from prac.tracking.shown import Shown
from prac.tracking.store import MlflowStore

# MLflow takes a second to import: whoever only names a store, as a plan does, needs none of it.


@dataclass(frozen=True, kw_only=True)
class _Begun:
    run_id: str
    finished: bool
    number: int
    values: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Trial:
    """What a trial's tags say."""

    label: str
    number: Count
    values: Mapping[str, bool | int | float | str | None]


def _trial(run: Any) -> _Trial:
    tags = run.data.tags
    try:
        if why := unreadable(run):
            raise SchemaError(why)
        number, values = (parse(tags.get(f"prac.trial.{t}", "null")) for t in ("number", "values"))
        told = {"label": tags.get("prac.trial"), "number": number, "values": values}
        return formed(_Trial, told, within="prac.trial")
    except SchemaError as error:
        raise StoreError(
            f"the tags of run {run.info.run_id}, a sweep's trial, can't be read ({error}); "
            f"mlflow runs delete --run-id {run.info.run_id} has the sweep go on without it"
        ) from error


class SweepLog:
    """The runs of one sweep; a sweep that goes on after a kill finds those it had begun."""

    def __init__(self, store: MlflowStore, sweep: str, data: str) -> None:
        self._store, self._sweep, self._data = store, sweep, data
        self._begun: dict[str, _Begun] = {}
        for run in self._search("trial"):
            told = _trial(run)
            self._begun[told.label] = _Begun(
                run_id=run.info.run_id,
                finished=run.info.status == "FINISHED",
                number=told.number,
                values=told.values,
            )

    def _search(self, kind: str) -> list[Any]:
        with self._store.reached():
            return self._store.search(
                SWEEPS, f"tags.`prac.sweep` = '{self._sweep}' and tags.`prac.kind` = '{kind}'"
            )

    def started(self, allowed: Callable[[Mapping[str, Any]], bool]) -> list[Mapping[str, Any]]:
        """The points of all trials begun so far, in their order. allowed: whether the sweep may try
        a point. Raises StoreError for one that it may not."""
        begun = sorted(self._begun.values(), key=lambda begun: begun.number)
        for trial in begun:
            if not allowed(trial.values):
                told = json.dumps(trial.values)[:200]
                raise StoreError(
                    f"trial {trial.number} of this sweep (run {trial.run_id}) has the values "
                    f"{told}, which this command never tries; mlflow runs delete --run-id "
                    f"{trial.run_id} has the sweep go on without it"
                )
        return [trial.values for trial in begun]

    def finished(self) -> Finished | None:
        """The finished sweep, if it is one."""
        for run in self._search("sweep"):
            tags = run.data.tags
            own = tags.get("prac.key") == self._sweep and not unreadable(run)
            if own and run.info.status == "FINISHED" and "prac.revoked" not in tags:
                return finished_run(run)
        return None

    def begin(
        self, number: int, label: str, values: Mapping[str, Any], tags: Mapping[str, str]
    ) -> None:
        """A trial begins, or goes on. values: JSON values, logged as parameters."""
        if label in self._begun:
            return
        with self._store.reached():
            run = self._store.client.create_run(
                self._store.experiment(SWEEPS),
                tags={
                    **tags,
                    "mlflow.source.name": "prac",
                    "prac.data": self._data,
                    "prac.sweep": self._sweep,
                    "prac.kind": "trial",
                    "prac.trial": label,
                    "prac.trial.number": str(number),
                    "prac.trial.values": json.dumps(dict(values)),
                },
                run_name=label,
            )
            self._store.log_values(run.info.run_id, values)
        self._begun[label] = _Begun(
            run_id=run.info.run_id, finished=False, number=number, values=values
        )

    def end(self, label: str, state: str, values: Iterable[Metric], note: str = "") -> None:
        """A trial ended; one that had ended before stays as it is."""
        begun = self._begun.get(label)
        if begun is None or begun.finished:
            return
        with self._store.reached():
            client = self._store.client
            self._store.log_values(begun.run_id, metrics=values)
            client.set_tag(begun.run_id, "prac.trial.state", state)
            if note:
                client.set_tag(begun.run_id, "mlflow.note.content", note)
            client.set_terminated(begun.run_id, "FAILED" if state == "failed" else "FINISHED")

    def commit(
        self, folder: Path, told: Shown, *, results: str, config: Any, started: float
    ) -> Finished:
        """The sweep is finished: its table, front and figure, in `folder`, as one run."""
        stage = Stage(
            name="sweep",
            kind="sweep",
            architecture="",
            method="",
            round_index=0,
            config=config,
            inputs={},
            key=self._sweep,
        )
        SWEEP.write(folder, results)
        seal(folder, stage, Made(facts=Facts()))
        tags = {"prac.sweep": self._sweep, "prac.kind": "sweep"}
        shown = dataclasses.replace(told, tags={**told.tags, **tags})
        return self._store.log(stage, folder, shown, data=self._data, started=started)

    def link(self) -> str:
        """The page that compares the trials: of the server, or of one started for a local store."""
        store = self._store
        return (
            f"{store.page}/#/experiments/{store.experiment(SWEEPS)}/runs"
            "?workflowType=machine_learning&compareRunsMode=CHART"
        )
