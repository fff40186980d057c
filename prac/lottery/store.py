"""Where finished stages are: looked up by key before they run, verified when they are read.

Finished means: all files are written, their checksums are in a manifest, and the store says so. A
stage that was killed has none of these. There are stores in memory and in a folder; MLflow's is in
`prac.tracking`.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from safetensors import SafetensorError

from prac.errors import OutsideError, StoreError, first_line
from prac.lottery.graph import Stage
from prac.lottery.kinds import KINDS
from prac.lottery.outputs import Cost, Facts, File, Made, as_json
from prac.schema import SchemaError, Sha256, Within, formed, parse
from prac.scratch import scratch_folder

MANIFEST = "manifest.json"
FORMAT = 1
"""Of manifests and of what a store notes beside them: a file without a `format` has this one. Who
gives them another field raises it and writes it, so that earlier versions refuse them and don't
take them for damage."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a finished stage is: facts, cost, and the checksums of its files by relative path.

    made_by: versions and machine (`prac.training.made_by`); empty where nobody noted them.
    """

    key: str
    kind: str
    name: str
    facts: Facts
    cost: Cost
    sha256: Mapping[Within, Sha256]
    made_by: Mapping[str, str] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        values = {**vars(self), "facts": as_json(self.facts), "cost": as_json(self.cost)}
        values["made_by"] = dict(self.made_by)
        return json.dumps(values, indent=2, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """What `to_bytes` wrote. Raises StoreAway for a later version's, SchemaError for anything
        else."""
        values = formed(_Written, of_this_format(data, MANIFEST))
        kind = KINDS.get(values.kind)
        if kind is None:
            raise SchemaError(f"kind: {values.kind[:80]!r} is not known; known: {', '.join(KINDS)}")
        facts = formed(kind.facts, values.facts, within="facts")
        return cls(**{**vars(values), "facts": facts})


@dataclass(frozen=True, kw_only=True)
class _Written:
    """A manifest whose facts, which depend on the kind, are still to be read."""

    key: str
    kind: str
    name: str
    facts: dict[str, Any]
    cost: Cost
    sha256: Mapping[Within, Sha256]
    made_by: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A finished stage in a store: which run made it, and where its files are.

    manifest: where it was read already.
    """

    key: str
    name: str
    run_id: str
    where: str
    manifest_sha256: str
    manifest: Manifest | None = field(default=None, compare=False)


class StoreAway(StoreError, OutsideError):
    """The store can't be reached or asked: no reason to make anything again."""


def of_this_format(text: bytes, what: str) -> Any:
    """The JSON value, without its format. Raises StoreAway for a later format than this version
    reads, SchemaError for what is no strict JSON."""
    values = parse(text)
    told = values.get("format") if isinstance(values, dict) else None
    if type(told) is not int or told < FORMAT:
        return values
    if told > FORMAT:
        raise StoreAway(
            f"{what} has format {told}, which a later version of prac wrote; this one reads "
            f"{FORMAT}; go on with that version, or with another store"
        )
    return {name: value for name, value in values.items() if name != "format"}


class DamagedArtifact(StoreError):
    """An artifact that is missing or fails its checksum; the stage has to run again."""

    def __init__(self, finished: Finished, what: str) -> None:
        super().__init__(f"{what} of stage {finished.name} (run {finished.run_id})")
        self.finished = finished
        self.what = what

    def __reduce__(self) -> tuple[Any, ...]:
        return DamagedArtifact, (self.finished, self.what)


class Store(Protocol):
    """Finished stages by key. All methods raise StoreAway where the store can't be asked."""

    def find(self, data: str, keys: Iterable[str]) -> dict[str, Finished]:
        """The finished stages among `keys` that were made from the data with this fingerprint."""

    def find_one(self, stage: Stage) -> Finished | None:
        """The finished stage with this one's key, where it has been made."""

    def read(self, finished: Finished) -> Made:
        """What the stage made. Raises DamagedArtifact where its manifest isn't right."""

    def commit(self, stage: Stage, made: Made, *, data: str, started: float) -> Finished:
        """Keep what a stage made; nothing is found before all is written.

        data: the fingerprint of the data set. started: seconds since the epoch.
        """

    def revoke(self, finished: Finished, reason: str) -> None:
        """Keep a damaged run out of every later look-up."""


class MemoryStore:
    """Finished stages of this process, as they were made, and a folder for what is at work."""

    def __init__(self) -> None:
        self._made: dict[str, Made] = {}
        self._names: dict[str, str] = {}

    @cached_property
    def scratch(self) -> tempfile.TemporaryDirectory[str]:
        """Events and checkpoints; gone with the store."""
        return scratch_folder()

    def find(self, data: str, keys: Iterable[str]) -> dict[str, Finished]:
        """By key: a key holds the data's fingerprint."""
        return {key: self._finished(key) for key in keys if key in self._made}

    def find_one(self, stage: Stage) -> Finished | None:
        return self._finished(stage.key) if stage.key in self._made else None

    def _finished(self, key: str) -> Finished:
        name = self._names[key]
        return Finished(key=key, name=name, run_id=key, where="memory", manifest_sha256="")

    def read(self, finished: Finished) -> Made:
        return self._made[finished.key]

    def commit(self, stage: Stage, made: Made, *, data: str, started: float) -> Finished:
        self._made[stage.key], self._names[stage.key] = made, stage.name
        return self._finished(stage.key)

    def revoke(self, finished: Finished, reason: str) -> None:
        self._made.pop(finished.key, None)


def write_stage(folder: Path, stage: Stage, made: Made) -> Manifest:
    """Write all that a stage made into an empty folder, the manifest last."""
    for file, value in made.files.items():
        file.write(folder, value)
    return seal(folder, stage, made)


def seal(folder: Path, stage: Stage, made: Made) -> Manifest:
    """Write the manifest of a folder in which a stage's files are."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = Manifest(
        key=stage.key,
        kind=stage.kind,
        name=stage.name,
        facts=made.facts,
        cost=made.cost,
        sha256={str(path.relative_to(folder)): sha256(path) for path in files},
        made_by=made.made_by,
    )
    (folder / MANIFEST).write_bytes(manifest.to_bytes())
    return manifest


def read_stage(finished: Finished, bring: Callable[[str], Path]) -> Made:
    """What a stage made, from files that `bring` fetches by relative path.

    bring: returns a local path; raises DamagedArtifact for what is not there, StoreAway where the
    store can't say. Raises DamagedArtifact where the manifest isn't the finished run's, or lists
    fewer files than its kind leaves.
    """
    manifest = finished.manifest or read_manifest(finished, bring)
    files = _StoredFiles(finished, manifest.sha256, bring)
    return Made(facts=manifest.facts, cost=manifest.cost, made_by=manifest.made_by, files=files)


def check_files(made: Made) -> None:
    """Compare all files that a store has of a stage with their checksums; none is read otherwise.

    Raises DamagedArtifact.
    """
    if isinstance(made.files, _StoredFiles):
        made.files.check()


def read_manifest(finished: Finished, bring: Callable[[str], Path]) -> Manifest:
    """The manifest of a finished stage, verified; as `read_stage`."""
    data = bring(MANIFEST).read_bytes()
    if hashlib.sha256(data).hexdigest() != finished.manifest_sha256:
        raise DamagedArtifact(finished, f"{MANIFEST} fails its checksum")
    try:
        manifest = Manifest.from_bytes(data)
    except StoreAway as error:
        raise StoreAway(f"{finished.where}: {error}") from error
    except SchemaError as error:
        raise DamagedArtifact(finished, f"{MANIFEST} can't be read ({error})") from error
    if manifest.key != finished.key:
        raise DamagedArtifact(finished, f"{MANIFEST} is that of another stage, not")
    # Facts alone are quickly written: a judgement comes with the weights that it judged.
    for file in KINDS[manifest.kind].leaves:
        if not _parts(file, manifest.sha256):
            left = f"{file.name}, which every {manifest.kind} leaves,"
            raise DamagedArtifact(finished, f"{left} is not in the manifest")
    return manifest


def _parts(file: File[Any], listed: Mapping[str, str]) -> list[str]:
    """The paths of a file, or of the files in a folder, among those that a manifest lists."""
    return [name for name in listed if name == file.name or name.startswith(f"{file.name}/")]


class _StoredFiles(Mapping[File[Any], Any]):
    """The files that a manifest lists, each verified and read when it is asked for."""

    def __init__(
        self, finished: Finished, listed: Mapping[str, str], bring: Callable[[str], Path]
    ) -> None:
        self._finished, self._listed, self._bring = finished, listed, bring

    def __contains__(self, file: object) -> bool:
        return isinstance(file, File) and bool(_parts(file, self._listed))

    def __getitem__(self, file: File[Any]) -> Any:
        parts = _parts(file, self._listed)
        if not parts:
            raise DamagedArtifact(self._finished, f"{file.name} is missing")
        for part in parts:
            path = self._checked(part)
        # Of a folder, the path of its last part leads to it.
        while part != file.name:
            part, path = part.rpartition("/")[0], path.parent
        try:
            return file.read(path)
        except (ValueError, KeyError, TypeError, OSError, SafetensorError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise  # of the disk, not of what is on it
            # Whoever wrote it wrote the checksum, too.
            raise DamagedArtifact(
                self._finished, f"{file.name} can't be read ({first_line(error)})"
            ) from error

    def _checked(self, part: str) -> Path:
        path = self._bring(part)
        if sha256(path) != self._listed[part]:
            raise DamagedArtifact(self._finished, f"{part} fails its checksum")
        return path

    def check(self) -> None:
        """All of them."""
        for part in self._listed:
            self._checked(part)

    def __iter__(self) -> Iterator[File[Any]]:
        raise TypeError("a store's files are asked for one by one")

    def __len__(self) -> int:
        return len(self._listed)


def sha256(path: Path) -> str:
    """The checksum of a file, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
