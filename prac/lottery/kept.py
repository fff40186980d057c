"""What each pipeline needs of a store, noted before it begins: what no kept one needs may go.

Nothing else says so: a stage alone doesn't know who reads it. A pipeline that was killed is kept as
one that has finished, so that the same command goes on from there.
"""

from __future__ import annotations

import dataclasses
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from prac.errors import ConfigError, StoreError, unknown
from prac.fingerprint import fingerprint
from prac.lottery.graph import Graph, Stage
from prac.lottery.identity import Identity
from prac.lottery.kinds import KINDS, Lasts
from prac.lottery.request import Request
from prac.lottery.store import FORMAT, of_this_format
from prac.plugins import name_of
from prac.schema import Key, SchemaError, file_bytes, formed

Forgotten = Literal["", "stages", "tickets"]
"""Kept; its stages may go, but for its tickets; its tickets may go as well."""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A pipeline, or a sweep, that was begun in a store.

    key: of its report, or what tells it from others. data: the fingerprint of the data set. began:
    seconds since the epoch. needs: names of stages by key, all that it is made of. Of a sweep, what
    its trials have needed so far.
    """

    key: Key
    title: str
    data: str
    data_name: str
    began: float
    needs: Mapping[Key, str] = field(repr=False)
    forgotten: Forgotten = ""


class Kept(Protocol):
    """The pipelines that were begun in one store. All methods raise StoreError where it can't be
    asked or written."""

    def identity(self, *, settle: bool = False) -> Identity:
        """Which store it is. settle: where it has no name at this place, it gets one."""

    def note(self, pipeline: Pipeline) -> None:
        """Keep what it needs; one that was forgotten is kept again."""

    def pipelines(self, refused: list[str] | None = None) -> list[Pipeline]:
        """All that were noted, the newest first; several notes under one key are one.

        refused: takes a line for each note that can't be read; without it, the first of them is
        raised. What may be deleted is decided without it: such a note may need anything.
        """

    def forget(self, key: str, what: Forgotten) -> None:
        """Let go what the pipeline with this key needs; nothing is deleted."""

    def there(self, pipeline: Pipeline) -> dict[str, Path | None]:
        """The stages that it needs and that are finished: key to the local folder of its files,
        None where another machine has them."""


def pipeline_of(request: Request, graph: Graph, began: float) -> Pipeline:
    """What a pipeline asks for and needs."""
    recipe, needs = request.recipe, needs_of(graph.needed())
    whole = "report" in graph.targets
    methods = ", ".join(method.name for method in request.methods)
    part = "" if whole else f"; {', '.join(sorted({graph.stages[t].kind for t in graph.targets}))}"
    return Pipeline(
        key=graph.stages["report"].key if whole else fingerprint(sorted(needs)),
        title=f"{recipe.name}: {', '.join(map(name_of, recipe.architectures))}; {methods}; "
        f"{recipe.search.rounds} rounds{part}",
        data=request.data,
        data_name=request.data_name,
        began=began,
        needs=needs,
    )


def needs_of(stages: Iterable[Stage]) -> dict[str, str]:
    """Names by key."""
    return {stage.key: stage.name for stage in stages}


def lasts(stage: str) -> Lasts:
    """Until when what this stage left is kept, by its name."""
    kind = KINDS.get(stage.partition(":")[0])
    return "pipeline" if kind is None else kind.lasts


def find_pipeline(pipelines: Iterable[Pipeline], start: str) -> Pipeline:
    """The one whose key begins so. Raises ConfigError."""
    known = list(pipelines)
    found = [p for p in known if len(start) >= 4 and p.key.startswith(start)]
    if not found:
        raise unknown("pipeline", start, {p.key[:8] for p in known[:20]} or {"none was begun here"})
    if len({p.key for p in found}) > 1:
        keys = ", ".join(sorted(p.key[:12] for p in found))
        raise ConfigError(f"pipeline {start!r} is one of several; allowed: {keys}")
    return found[0]


def merged(notes: Iterable[Pipeline]) -> list[Pipeline]:
    """Those under one key as one that needs what all of them need, since the first began."""
    found: dict[str, Pipeline] = {}
    for note in sorted(notes, key=lambda note: note.began):
        first = found.get(note.key, note)
        found[note.key] = dataclasses.replace(
            first,
            needs={**first.needs, **note.needs},
            forgotten=first.forgotten if first.forgotten == note.forgotten else "",
        )
    return sorted(found.values(), key=lambda pipeline: -pipeline.began)


def let_go(pipelines: Iterable[Pipeline]) -> dict[str, str]:
    """The stages that only forgotten pipelines need, but for tickets that any of them keeps: key to
    why. A kept pipeline whose needs are not known needs all that was made from its data."""
    known = list(pipelines)
    kept = [p for p in known if not p.forgotten]
    needed = {key for p in kept for key in p.needs}
    needed |= {
        key
        for p in known
        if p.forgotten == "stages"
        for key, name in p.needs.items()
        if lasts(name) == "tickets"
    }
    unknown_needs = {p.data for p in kept if not p.needs}
    return {
        key: f"only what was forgotten needs it: {p.title}"
        for p in known
        if p.forgotten and p.data not in unknown_needs
        for key in p.needs
        if key not in needed
    }


def unlisted(pipelines: Iterable[Pipeline], there: Mapping[str, tuple[str, str]]) -> dict[str, str]:
    """The finished stages that no note lists, a forgotten one's neither: key to why.

    there: key to kind and data of every finished stage. Tickets stay, and so does all of data of
    which a pipeline has a report and no note: what it needs is not known.
    """
    known = list(pipelines)
    listed = {key for p in known for key in (p.key, *p.needs)}
    left = {key: told for key, told in there.items() if key not in listed}
    unknown_needs = {p.data for p in known if not p.needs}
    unknown_needs |= {data for kind, data in left.values() if kind in ("report", "sweep")}
    return {
        key: "finished, and no pipeline's note lists it"
        for key, (kind, data) in left.items()
        if kind in KINDS and lasts(kind) == "pipeline" and data not in unknown_needs
    }


def to_json(pipeline: Pipeline) -> str:
    """As text."""
    values = {"format": FORMAT, **dataclasses.asdict(pipeline)}
    return json.dumps(values, indent=2, sort_keys=True)


def from_json(text: bytes, where: object) -> Pipeline:
    """What `to_json` wrote, by this version or one before. Raises StoreError: what can't be read
    may be needed by anybody."""
    try:
        return formed(Pipeline, of_this_format(text, str(where)))
    except SchemaError as error:
        raise StoreError(
            f"{where}, which says what a pipeline needs, can't be read ({error}); what it needs is "
            "not known any more"
        ) from error


class FolderKept:
    """Notes in `kept/KEY.json` beside the stages of a `FolderStore`.

    root: of the store.
    """

    def __init__(self, root: Path) -> None:
        self.root, self._notes = root, root / "kept"

    def file(self, key: str) -> Path:
        """Where the note of the pipeline with this key lies."""
        return self._notes / f"{key}.json"

    def identity(self, *, settle: bool = False) -> Identity:
        """In a file beside the notes."""
        file = self._notes / ".store"
        try:
            text = file_bytes(file).decode(errors="replace") if os.path.lexists(file) else None
        except (OSError, SchemaError) as error:
            raise StoreError(f"the store {self.root} can't be read ({error})") from error
        found = Identity.read(text, str(self.root.resolve()), file)
        if settle and not found.name:
            found = found.settled()
            self._write(file, found.text())
        return found

    def note(self, pipeline: Pipeline) -> None:
        # Its own alone: another's that can't be read is no reason not to begin.
        known = list(self._read([file])) if (file := self.file(pipeline.key)).exists() else []
        (now,) = merged([*known, pipeline])
        if known != [now]:
            self._write(self.file(now.key), to_json(now))

    def _write(self, place: Path, text: str) -> None:
        try:
            self._notes.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=self._notes)
            try:
                with os.fdopen(handle, "w") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(file.fileno())
                os.chmod(name, 0o644)
                Path(name).replace(place)
            finally:
                Path(name).unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"the store {self.root} can't be written ({error})") from error

    def pipelines(self, refused: list[str] | None = None) -> list[Pipeline]:
        try:
            files = sorted(self._notes.glob("[!.]*.json"))
        except OSError as error:
            raise StoreError(f"the store {self.root} can't be read ({error})") from error
        return merged(self._read(files, refused))

    def _read(self, files: Iterable[Path], refused: list[str] | None = None) -> Iterator[Pipeline]:
        for file in files:
            try:
                yield from_json(file_bytes(file), file)
            except (OSError, SchemaError, StoreError) as error:
                told = error if isinstance(error, StoreError) else f"{file} can't be read ({error})"
                if refused is None:
                    raise StoreError(str(told)) from error
                refused.append(str(told))

    def forget(self, key: str, what: Forgotten) -> None:
        found = find_pipeline(self.pipelines([]), key)
        self._write(self.file(found.key), to_json(dataclasses.replace(found, forgotten=what)))

    def there(self, pipeline: Pipeline) -> dict[str, Path | None]:
        """Folders named by a key are whole."""
        try:
            names = set(os.listdir(self.root))
        except OSError as error:
            raise StoreError(f"the store {self.root} can't be read ({error})") from error
        return {key: self.root / key for key in pipeline.needs if key in names}
