"""Which files below a folder are data: links are followed, what tools left behind is not data."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from prac.errors import ConfigError, shown

# Left by desktops, network drives and archives beside the data, and by runs of ours in its folder.
_JUNK = frozenset(
    {"prac-runs", "mlruns"}
    | {"__macosx", "__pycache__", "$recycle.bin", "#recycle", "lost+found"}
    | {"system volume information", "@eadir", "@recycle", "@recently-snapshot", "@tmp"}
)
_SMALL = frozenset({"thumbnails", "thumbs"})
"""Of viewers, most often; a class may be called so, too, so that it is told."""

# Lists and notes beside images: they don't surprise anybody.
_BESIDE = frozenset({".csv", ".db", ".ini", ".json", ".jsonl", ".md", ".txt", ".xml", ".yaml"})


@dataclass
class Walk:
    """What was met on the way. broken: links that lead nowhere; odd: devices, pipes, sockets.
    small: folders of thumbnails, by their names. linked: whether any folder is a link. others:
    files that are not looked for, by how their names end."""

    broken: list[Path] = field(default_factory=list)
    odd: list[Path] = field(default_factory=list)
    small: list[Path] = field(default_factory=list)
    linked: bool = False
    others: Counter[str] = field(default_factory=Counter)

    def notes(self, root: Path) -> list[str]:
        """What is told of it."""
        told = []
        for files, what in (
            (self.broken, "links lead nowhere and are left out"),
            (self.odd, "entries are no regular files and are left out"),
            (self.small, "folders of thumbnails are left out; a class needs another name"),
        ):
            if files:
                told.append(f"{len(files)} {what} ({shown(files[0].relative_to(root).as_posix())})")
        return told


def is_data(name: str) -> bool:
    """Whether a file or folder of this name may hold data; `@eaDir` and hidden ones may not."""
    return not name.startswith(".") and name.casefold() not in _JUNK


def same_form(name: str) -> str:
    """A name in one Unicode form (NFC): file systems and archives write é in two ways."""
    return unicodedata.normalize("NFC", name)


def folders_in(folder: Path, walk: Walk) -> list[Path]:
    """Its folders that may hold data, sorted by name."""
    return [path for path, mode in _entries(folder, walk) if stat.S_ISDIR(mode)]


def files_in(folder: Path, walk: Walk) -> list[Path]:
    """Its files, without those of its folders."""
    return [path for path, mode in _entries(folder, walk) if stat.S_ISREG(mode)]


def hidden_with(folder: Path, extensions: Collection[str]) -> list[str]:
    """The names of its hidden folders that hold files of these kinds, sorted."""
    found = []
    for path in folder.glob(".*/"):
        with suppress(OSError):  # those of others may not be read
            if any(file.suffix.lower() in extensions for file in path.iterdir()):
                found.append(path.name)
    return sorted(found)


def files_below(folder: Path, extensions: Collection[str], walk: Walk) -> list[Path]:
    """Its data files at any depth, sorted by their paths; a folder that links lead to again counts
    once."""
    found: list[Path] = []
    waiting = [folder]
    seen: set[tuple[int, int]] = set()
    while waiting:
        place = waiting.pop()
        status = place.stat()
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        for path, mode in _entries(place, walk):
            if stat.S_ISDIR(mode):
                waiting.append(path)
            elif path.suffix.lower() in extensions:
                (found if stat.S_ISREG(mode) else walk.odd).append(path)
            elif path.suffix.lower() not in _BESIDE:
                walk.others[path.suffix.lower() or path.name] += 1
    return sorted(found, key=lambda file: file.relative_to(folder).as_posix())


def _entries(folder: Path, walk: Walk) -> list[tuple[Path, int]]:
    """What may be data in a folder, each with its mode behind any links, sorted by name."""
    try:
        with os.scandir(folder) as scan:
            entries = sorted((e for e in scan if is_data(e.name)), key=lambda entry: entry.name)
    except OSError as error:
        raise ConfigError(
            f"folder {shown(str(folder))} can't be read ({error.strerror}); allowed: folders that "
            "you may read"
        ) from error
    found = []
    for entry in entries:
        if entry.name.casefold() in _SMALL and entry.is_dir():
            if Path(entry.path) not in walk.small:
                walk.small.append(Path(entry.path))
            continue
        try:
            mode = entry.stat().st_mode
            walk.linked |= stat.S_ISDIR(mode) and entry.is_symlink()
            found.append((Path(entry.path), mode))
        except OSError:  # a link to nothing, or to itself; a folder that may not be entered
            walk.broken.append(Path(entry.path))
    return found
