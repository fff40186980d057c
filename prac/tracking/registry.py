"""What the store has to offer: tickets and PrAC sets, filtered and sorted."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Unpack

from prac.errors import ConfigError, PracError, StoreError, TicketError, unknown
from prac.lottery.outputs import SET
from prac.lottery.store import Finished, sha256
from prac.schema import Count, SchemaError, formed, parse
from prac.selection.prac_set import PracSet
from prac.ticket.listed import TicketEntry, Wanted, choose
from prac.tracking.connection import STAGES, TICKETS, Connection, finished_run
from prac.tracking.mlflow_internals import ADDED_FILE
from prac.tracking.pages import pages, unreadable
from prac.tracking.store import MlflowStore

SetOrder = Literal["name", "size", "newest"]


@dataclass(frozen=True, kw_only=True)
class SetEntry:
    """A PrAC set, or a random one of its size, that a finished stage made.

    key: of the stage; its first eight digits name the set. data: the fingerprint of the data set.
    data_name: None where no ticket says how that data set is called.
    """

    key: str
    name: str
    data: str
    data_name: str | None
    architecture: str
    method: str
    round: Count
    set_size: Count
    cet_size: Count
    cep_size: Count
    created: int
    finished: Finished = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """All but the run it is read from."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {**values, "finished": self.finished.run_id}


def list_tickets(
    store: Connection, refused: list[str] | None = None, **wanted: Unpack[Wanted]
) -> list[TicketEntry]:
    """The registered tickets of finished stages, as `choose` chooses and sorts them.

    refused: takes a line for each that can't be read; without it, the first of them is raised, a
    TicketError.
    """
    tickets, bad = _tickets(store)
    _tell(dict.fromkeys(bad.values()), refused, TicketError)
    return choose(tickets, **wanted)


def _tell(bad: Iterable[str], refused: list[str] | None, error: type[PracError]) -> None:
    for line in bad:
        if refused is None:
            raise error(line)
        refused.append(line)


def _tickets(store: Connection) -> tuple[list[TicketEntry], dict[str, str]]:
    """All, and why some can't be read: by `models:/NAME/VERSION`, `models:/NAME@alias`, run id."""
    tickets, bad = list[TicketEntry](), dict[str, str]()
    runs, lost = _finished_runs(store, TICKETS)
    finished = {run.info.run_id: run for run in runs}
    with store.reached():
        # Of any name: versions are promoted by copying them to another model, tags and all.
        versions = pages(store.client.search_model_versions, "tag.`prac.key` LIKE '%'")
        models = pages(store.client.search_registered_models, "")
    aliases: dict[tuple[str, str], list[str]] = {}
    for model in models:
        for alias, version in dict(model.aliases).items():
            aliases.setdefault((model.name, str(version)), []).append(alias)
    for version in versions:
        named = aliases.get((version.name, str(version.version)), [])
        where = f"models:/{version.name}/{version.version}"
        if "prac.key" not in version.tags:
            continue
        # One whose pipeline was killed before its run was finished holds no ticket.
        run = finished.get(version.run_id)
        why = lost.get(version.run_id, "")
        if run is not None:
            try:
                tickets.append(_ticket_entry(version, run, tuple(sorted(named))))
            except TicketError as error:
                why = str(error)
        if why:
            bad |= dict.fromkeys((where, *(f"models:/{version.name}@{a}" for a in named)), why)
    return tickets, bad | lost


def _ticket_entry(version: Any, run: Any, aliases: tuple[str, ...]) -> TicketEntry:
    where = f"models:/{version.name}/{version.version}"
    # Versions of earlier days have it all in tags of their own.
    metrics = {name: f"{value:.10g}" for name, value in run.data.metrics.items()}
    tags = {**run.data.params, **metrics, **version.tags}
    try:
        numbers = {name: _number(name, tags.get(name, text)) for name, text in _NUMBERS.items()}
        told = {name: tags.get(name, "") for name in ("data", "architecture", "method", "recipe")}
        known = {
            "where": where,
            "model": version.name,
            "version": int(version.version),
            "aliases": aliases,
            "run_id": version.run_id,
            "created": version.creation_timestamp,
            "as_found": tags.get("as_found") == "true",
        }
        return formed(TicketEntry, {**known, **told, **numbers}, within="tags")
    except SchemaError as error:
        raise TicketError(f"{where} can't be read: {error}") from None


def _number(tag: str, text: str) -> Any:
    try:
        return parse(text)
    except SchemaError as error:
        raise SchemaError(f"tags.{tag}: {error}") from None


_NUMBERS = {
    **dict.fromkeys(("round", "weights_alive", "search_steps", "set_size", "seed"), "0"),
    **dict.fromkeys(("sparsity", "steps_saved"), "0.0"),
    **dict.fromkeys(("validation_accuracy", "test_accuracy", "dense_test_accuracy"), "null"),
}
"""Tags of a version that are numbers, and what counts where one has none."""


def find_ticket(store: Connection, name: str) -> str:
    """`NAME`, `NAME@alias` or `NAME/version` to `models:/NAME/VERSION`.

    A bare name is its ticket `best`, the most accurate one on validation. Raises ConfigError.
    """
    bare = name.removeprefix("models:/")
    model, at, alias = bare.partition("@")
    model, slash, version = model.partition("/")
    every, bad = _tickets(store)
    tickets = [ticket for ticket in every if ticket.model == model]
    refused = [why for where, why in bad.items() if where.startswith(f"models:/{model}/")]
    refused = refused if every else list(bad.values())
    # Aliases are set when a pipeline ends; until then the best is the best.
    asked = bad.get(f"models:/{model}/{version}" if slash else f"models:/{model}@{alias or 'best'}")
    if asked or (refused and not tickets):
        raise TicketError(asked or refused[0])
    if not tickets:
        known = sorted({ticket.model for ticket in every})
        raise unknown("ticket", model, known or ["none; run a pipeline first"])
    if slash:
        matching = [t for t in tickets if str(t.version) == version]
        known = [f"{model}/{t.version}" for t in sorted(tickets, key=lambda t: t.version)]
    else:
        best = max(tickets, key=lambda t: (t.validation_accuracy or -1.0, t.sparsity))
        matching = [t for t in tickets if (alias if at else "best") in t.aliases]
        matching = matching if at else [*matching, best]
        known = [f"{model}@{a}" for a in sorted({a for t in tickets for a in t.aliases})]
        known = known or [f"{model}/{best.version}"]
    if not matching:
        raise unknown("ticket", bare, known)
    return matching[0].where


def list_sets(
    store: Connection,
    *,
    data: str | None = None,
    architecture: str | None = None,
    method: str | None = None,
    round_index: int | None = None,
    sort: SetOrder = "name",
    limit: int | None = None,
    refused: list[str] | None = None,
) -> list[SetEntry]:
    """The sets that finished stages made. data: a name, or the start of a fingerprint.

    refused: takes a line for each that can't be read; without it, the first of them is raised, a
    StoreError.
    """
    bad = list[str]()
    sets = list(_sets(store, bad))
    _tell(bad, refused, StoreError)
    chosen = [
        entry
        for entry in sets
        if (data is None or data == entry.data_name or entry.data.startswith(data))
        and architecture in (None, entry.architecture)
        and method in (None, entry.method)
        and round_index in (None, entry.round)
    ]
    chosen.sort(key=lambda s: (s.data_name or s.data, s.architecture, s.method, s.round, s.created))
    if sort == "size":
        chosen.sort(key=lambda s: s.set_size)
    elif sort == "newest":
        chosen.sort(key=lambda s: s.created, reverse=True)
    return chosen[:limit]


def _sets(store: Connection, bad: list[str]) -> Iterator[SetEntry]:
    names = {
        run.data.tags.get("prac.data"): run.data.tags.get("data")
        for run in finished_runs(store, TICKETS, refused=[])
    }
    for kind in ("select", "subset"):
        for run in finished_runs(store, STAGES, f"tags.kind = '{kind}'", refused=bad):
            tags = run.data.tags
            if "prac.key" not in tags:
                continue  # somebody's own
            # Stages that were made before the round was a tag have it in their name.
            number = tags.get("round") or tags.get("prac.stage", "").rpartition(":")[2]
            try:
                sizes = {size: _size(run, size) for size in ("set_size", "cet_size", "cep_size")}
            except StoreError as error:
                bad.append(str(error))
                continue
            yield SetEntry(
                key=tags["prac.key"],
                name=tags.get("prac.stage", run.info.run_name),
                data=tags.get("prac.data", ""),
                data_name=names.get(tags.get("prac.data")),
                architecture=tags.get("architecture", ""),
                method=tags.get("method", ""),
                round=int(number) if number.isdecimal() and len(number) < 5 else 0,
                **sizes,
                created=run.info.start_time,
                finished=finished_run(run),
            )


def _size(run: Any, name: str) -> int:
    told = run.data.metrics.get(name, 0.0)
    if not 0 <= told < 2**31:
        raise StoreError(f"run {run.info.run_id}: the metric {name} is {told}, no set's size")
    return int(told)


def find_set(store: Connection, which: str) -> SetEntry:
    """The set whose key begins with `which`, or whose stage has this name. Raises ConfigError."""
    bad = list[str]()
    entries = list_sets(store, refused=bad)
    matching = [e for e in entries if which == e.name or (len(which) >= 4 and _has_key(e, which))]
    if not matching:
        _tell(bad, None, StoreError)  # it may be one of those
        shown = [e.key[:8] for e in entries[:20]] or ["none; run a pipeline first"]
        raise unknown("set", which, shown)
    if len({entry.key for entry in matching}) > 1:
        keys = ", ".join(sorted(entry.key[:12] for entry in matching))
        raise ConfigError(f"set {which!r} is one of several; allowed: {keys}")
    return matching[0]


def _has_key(entry: SetEntry, start: str) -> bool:
    return entry.key.startswith(start)


def read_set(store: MlflowStore, entry: SetEntry) -> PracSet:
    """The ids and reasons of a set, after their checksum was verified. Raises StoreError."""
    return store.read(entry.finished)[SET]


def check_files(store: MlflowStore, where: str, folder: Path) -> int:
    """Compare a registered ticket's files, its MLflow model among them, with the run's manifest.

    where: `models:/NAME/VERSION`. Returns how many files were right. Raises TicketError for the
    first that is missing, changed or not in the manifest.
    """
    name, _, number = where.removeprefix("models:/").partition("/")
    with store.reached():
        version = store.client.get_model_version(name, number)
        run = store.client.get_run(str(version.run_id))
    listed = store.manifest(finished_run(run)).sha256
    expected = {
        file.removeprefix("ticket/"): digest
        for file, digest in listed.items()
        if file.startswith("ticket/")
    }
    there = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()} - {ADDED_FILE}
    for file in sorted(there | expected.keys()):
        if file not in there:
            raise TicketError(f"{where}: {file} is missing")
        if "__pycache__" in file:
            continue
        if expected.get(file) != sha256(folder / file):
            raise TicketError(f"{where}: {file} fails its checksum: it was changed")
    return len(expected)


def finished_runs(
    store: Connection, experiment: str, and_also: str = "", *, refused: list[str] | None = None
) -> list[Any]:
    """Runs that count, of an experiment that may not be there; looking must not make it.

    refused: takes a line for each that can't be read; without it, the first of them is raised, a
    StoreError.
    """
    runs, wrong = _finished_runs(store, experiment, and_also)
    _tell(wrong.values(), refused, StoreError)
    return runs


def _finished_runs(
    store: Connection, experiment: str, and_also: str = ""
) -> tuple[list[Any], dict[str, str]]:
    """Those that can be read, and why others can't, by their ids."""
    with store.reached():
        found = store.client.get_experiment_by_name(experiment)
        if found is None:
            return [], {}
        wanted = "attributes.status = 'FINISHED'" + (f" and {and_also}" if and_also else "")
        runs = pages(store.client.search_runs, [found.experiment_id], wanted)
    wrong = {run.info.run_id: why for run in runs if (why := unreadable(run))}
    whole = [run for run in runs if run.info.run_id not in wrong]
    return [run for run in whole if "prac.revoked" not in run.data.tags], wrong
