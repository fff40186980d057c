"""Which store it is: a name that it keeps, and by which a copy is told from the original."""

from __future__ import annotations

import dataclasses
import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path

from prac.errors import StoreError
from prac.schema import Key, SchemaError, read
from prac.storage import Folder


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Which store it is. place: where its files lie, empty where no path tells it from a copy.
    former: what it was called where it lay before; a copy has those of the original."""

    name: Key
    place: str = ""
    former: tuple[Key, ...] = ()

    @classmethod
    def read(cls, text: str | None, place: str, where: object) -> Identity:
        """What `text` wrote, as it is at this place; without a name where it has none yet.

        where: it was found. Raises StoreError for what can't be read.
        """
        # A path may hold what no text does.
        place = os.fsencode(place).decode(errors="backslashreplace")
        if not text:
            return cls(name="", place=place)
        try:
            told = read(cls, text)
        except SchemaError as error:
            raise StoreError(
                f"{where}, which says which store this is, can't be read ({error}); without it "
                "nothing here is known to be its own. Where it is lost, remove it"
            ) from error
        if told.place == place:
            return told
        # Copied or moved: which of both it is can't be told.
        return cls(name="", place=place, former=(told.name, *told.former))

    def settled(self) -> Identity:
        """The same with a name."""
        return self if self.name else dataclasses.replace(self, name=uuid.uuid4().hex)

    def text(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    def names_in(self, storage: Folder, *, alone: bool) -> frozenset[str]:
        """Under which names it has claims in a storage. alone: nobody else's database lies where
        this store's does; then what lies there was copied or moved with it."""
        beside = storage.is_local and _inside(storage.local_path, Path(self.place).parent)
        former = self.former if self.place and alone and beside else ()
        return frozenset(name for name in (self.name, *former) if name)


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
