"""Finished stages in a folder: a folder each, moved into place whole, found again by its key."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from prac.errors import StoreError
from prac.lottery.graph import Stage
from prac.lottery.outputs import Made
from prac.lottery.store import (
    MANIFEST,
    DamagedArtifact,
    Finished,
    StoreAway,
    of_this_format,
    read_stage,
    sha256,
    write_stage,
)
from prac.schema import Amount, SchemaError, Sha256, file_bytes, formed

RUN, MAKING = "run.json", ".making-"
_TAKEN = {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}


@dataclass(frozen=True, kw_only=True)
class _Run:
    """The note beside a manifest. started, ended: seconds since the epoch."""

    name: str
    kind: str
    data: str
    started: Amount
    ended: Amount
    manifest: Sha256


def kind_and_data(folder: Path) -> tuple[str, str]:
    """Of the stage in a folder of a store. Raises SchemaError, or OSError."""
    run = _noted(folder)
    return run.kind, run.data


def _noted(folder: Path) -> _Run:
    note = folder / RUN
    return formed(_Run, of_this_format(file_bytes(note), str(note)))


class FolderStore:
    """Stages under `root/KEY/`, with the manifests that every store has.

    work: where stages at work keep events and checkpoints; `root/work` by default.
    `run.json` beside a manifest holds the manifest's own checksum; it is written before the folder
    is moved into its place, so a folder named by a key is whole. Revoked ones are moved aside, to
    `root/revoked/`, and deleted by `prac gc` alone; one whose note can't be read is moved there
    when it is looked for.
    """

    def __init__(self, root: Path, work: Path | None = None) -> None:
        self.root = root
        self.work = root / "work" if work is None else work

    @classmethod
    def of_runs(cls, folder: Path) -> FolderStore:
        """In a folder of runs, as commands and `prac.search` have them: events beside `stages`."""
        earlier = folder / "work"  # where searches in Python kept them
        return cls(folder / "stages", work=earlier if earlier.is_dir() else folder)

    def _folder(self, key: str) -> Path:
        return self.root / key

    def find(self, data: str, keys: Iterable[str]) -> dict[str, Finished]:
        """By key: a key holds the data's fingerprint."""
        there = set(self._listed())
        found = {key: self._looked_up(key) for key in keys if key in there}
        return {key: finished for key, finished in found.items() if finished is not None}

    def find_one(self, stage: Stage) -> Finished | None:
        return self._looked_up(stage.key)

    def _listed(self) -> list[str]:
        """What is there; nothing where there is no store yet."""
        try:
            return os.listdir(self.root)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._away(error) from error

    def _require_there(self) -> None:
        # What is not mounted leaves an empty folder; a revoked run leaves one aside.
        if not self._listed():
            raise StoreAway(f"the store {self.root} is not there, or empty")

    def _away(self, error: object) -> StoreAway:
        return StoreAway(f"the store {self.root} can't be read ({error})")

    def _looked_up(self, key: str) -> Finished | None:
        try:
            return self._finished(key)
        except DamagedArtifact as error:
            self.revoke(error.finished, error.what)
            return None

    def _finished(self, key: str) -> Finished | None:
        try:
            run = _noted(self._folder(key))
            return Finished(
                key=key,
                name=run.name,
                # Made again, it is another run.
                run_id=f"{key}-{run.manifest[:8]}",
                where=str(self._folder(key)),
                manifest_sha256=run.manifest,
            )
        except FileNotFoundError:
            return None
        except SchemaError as error:
            broken = Finished(key=key, name=key, run_id=key, where="", manifest_sha256="")
            raise DamagedArtifact(broken, f"{RUN} can't be read ({error})") from error
        except OSError as error:
            raise self._away(error) from error

    def read(self, finished: Finished) -> Made:
        """What the stage made; files are read where they lie."""
        folder = self._folder(finished.key)

        def bring(name: str) -> Path:
            """Where the file lies; what its absence means is told by what lies beside it."""
            path = folder / name
            if not path.is_file():
                self._require_there()
                # One that another process has revoked lies aside, and is made again.
                aside = any((self.root / "revoked").glob(f"{finished.key}-*"))
                if not folder.is_dir() and not aside:
                    raise StoreAway(f"{folder} is not there; bring it back (is the disk mounted?)")
                raise DamagedArtifact(finished, f"{name} is missing")
            return path

        return read_stage(finished, bring)

    def commit(self, stage: Stage, made: Made, *, data: str, started: float) -> Finished:
        """Write it beside its place and move it there. Raises StoreError where that can't be."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            scratch = Path(tempfile.mkdtemp(prefix=MAKING, dir=self.root))
            try:
                manifest = write_stage(scratch, stage, made)
                run = _Run(
                    name=stage.name,
                    kind=stage.kind,
                    data=data,
                    started=started,
                    ended=time.time(),
                    manifest=sha256(scratch / MANIFEST),
                )
                (scratch / RUN).write_text(json.dumps(vars(run), indent=2, sort_keys=True))
                os.chmod(scratch, 0o755)
                self._move_in(scratch, stage.key)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
        except OSError as error:
            raise StoreError(f"the store {self.root} can't be written ({error})") from error
        finished = self._finished(stage.key)
        if finished is None:
            raise StoreError(f"the store {self.root} can't be written")
        made_here = finished.manifest_sha256 == run.manifest
        return Finished(**{**vars(finished), "manifest": manifest if made_here else None})

    def _move_in(self, scratch: Path, key: str) -> None:
        place = self._folder(key)
        try:
            scratch.rename(place)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
            # Another process may have made the same a moment ago: its folder stays.
            if not (place / RUN).is_file():
                self._move_aside(key, f"it had no {RUN}")
                scratch.rename(place)

    def _move_aside(self, key: str, reason: str) -> None:
        aside = self.root / "revoked"
        aside.mkdir(exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f"{key}-", dir=aside))
        with contextlib.suppress(FileNotFoundError):
            self._folder(key).rename(place / key)
        (place / "reason.txt").write_text(reason + "\n")

    def revoke(self, finished: Finished, reason: str) -> None:
        """Move it aside, with the reason; not what another process has put in its place."""
        try:
            there = self._finished(finished.key)
            if there is None:
                self._require_there()
                return
            if there.manifest_sha256 != finished.manifest_sha256:
                return
        except DamagedArtifact:
            pass  # its note can't be read: moved aside as well
        try:
            self._move_aside(finished.key, reason)
        except OSError as error:
            raise self._away(error) from error
