"""What the finished stages of a graph left, told so that two stores can be compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prac.app.planned import plan_pipeline
from prac.cli.options import OneLineParser, add_pipeline_options, recipe_from
from prac.cli.run import run_options
from prac.lottery.folder_store import FolderStore
from prac.lottery.graph import Graph
from prac.lottery.outputs import SET, TICKET, Made, as_json
from prac.lottery.store import MANIFEST, Manifest
from prac.ticket.format import MASK_FILE, TRAINED_FILE, WEIGHTS_FILE
from prac.tracking.store import MlflowStore

_MEASURED = ("seconds", "joules", "energy_source")
_TICKET = (SET.name, *(f"{TICKET.name}/{n}" for n in (MASK_FILE, WEIGHTS_FILE, TRAINED_FILE)))


@dataclass(frozen=True)
class Left:
    """What one stage left: its files' checksums; its facts and its cost without what was measured
    by a clock or a meter; of a ticket the lineage, but for who made it."""

    files: Mapping[str, str]
    facts: Mapping[str, Any]
    cost: Mapping[str, Any]
    lineage: Mapping[str, Any]

    @classmethod
    def of(cls, manifest: Manifest, made: Made) -> Left:
        """Of a finished stage. Of a ticket, the ticket: pictures and models are the tracker's."""
        facts, cost = as_json(manifest.facts), as_json(manifest.cost)
        lineage = {}
        if manifest.kind == "ticket":
            lineage = dict(made[TICKET].lineage)
            assert lineage.pop("made_by")
        if "curves" in facts:
            facts["curves"] = {n: c for n, c in facts["curves"].items() if n not in _MEASURED}
        names = _TICKET if manifest.kind == "ticket" else manifest.sha256
        return cls(
            files={name: manifest.sha256[name] for name in names if name in manifest.sha256},
            facts=facts,
            cost={name: value for name, value in cost.items() if name not in _MEASURED},
            lineage=lineage,
        )


def graph_of(*words: str) -> tuple[str, Graph]:
    """The data's fingerprint and the graph that a command line stands for."""
    parser = OneLineParser()
    add_pipeline_options(parser)
    arguments = parser.parse_args(words)
    planned = plan_pipeline(recipe_from(arguments), run_options(arguments))
    return planned.request.data, planned.graph


def left_in_folder(home: Path, *words: str) -> dict[str, Left]:
    """By stage name: what a local run left."""
    data, graph = graph_of(*words)
    root = home / "prac-runs" / "stages"
    store = FolderStore(root)
    found = store.find(data, (stage.key for stage in graph.stages.values()))
    return {
        stage.name: Left.of(
            Manifest.from_bytes((root / stage.key / MANIFEST).read_bytes()),
            store.read(found[stage.key]),
        )
        for stage in graph.stages.values()
        if stage.key in found and stage.kind != "report"
    }


def left_in_mlflow(home: Path, *words: str) -> dict[str, Left]:
    """By stage name: what a run on Ray left."""
    data, graph = graph_of(*words)
    store = MlflowStore(f"sqlite:///{home}/mlflow.db")
    found = store.find(data, (stage.key for stage in graph.stages.values()))
    return {
        stage.name: Left.of(store.manifest(found[stage.key]), store.read(found[stage.key]))
        for stage in graph.stages.values()
        if stage.key in found and stage.kind != "report"
    }


def assert_same(one: Mapping[str, Left], other: Mapping[str, Left]) -> None:
    """Stage for stage, file for file, number for number."""
    assert one.keys() == other.keys()
    differ = [
        f"{name}: {part} {key}: {ones.get(key)!r} and {others.get(key)!r}"
        for name in one
        for part, ones in vars(one[name]).items()
        for others in [vars(other[name])[part]]
        for key in sorted({*ones, *others})
        if ones.get(key) != others.get(key)
    ]
    assert not differ, "\n".join(differ)


def without_places(summary: Mapping[str, Any]) -> dict[str, Any]:
    """A run's last line without where things are and what a clock or a meter measured."""
    gone = ("mlflow", "run_id", "report")
    kept = {name: value for name, value in summary.items() if name not in gone}
    without: dict[str, Any] = json.loads(json.dumps(kept), object_hook=_without)
    return without


def _without(values: dict[str, Any]) -> dict[str, Any]:
    # A ticket's place is its store's.
    return {name: value for name, value in values.items() if name not in ("ticket", *_MEASURED)}
