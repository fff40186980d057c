"""The tickets of a store in a list: what is told of each, which of them, in which order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

from prac.errors import TicketError
from prac.schema import Count, Proportion, SchemaError, formed
from prac.ticket.reading import MANIFEST_FILE, MAX_MANIFEST, manifest_from, read_inside

TicketOrder = Literal["accuracy", "sparsity", "steps-saved", "set-size", "newest", "name"]


@dataclass(frozen=True, kw_only=True)
class TicketEntry:
    """A ticket of a store; accuracies and shares in [0, 1], None where it was not judged.

    where: `models:/NAME/VERSION`, or the ticket's folder, which has no model, version 0 and no run.
    created: milliseconds since the epoch. as_found: its accuracies are of the network that the
    search left, which was not trained again.
    """

    where: str
    model: str
    version: int
    aliases: tuple[str, ...]
    data: str
    architecture: str
    method: str
    round: Count
    sparsity: Proportion
    weights_alive: Count
    validation_accuracy: Proportion | None
    test_accuracy: Proportion | None
    dense_test_accuracy: Proportion | None
    steps_saved: float
    search_steps: Count
    set_size: Count
    recipe: str
    seed: Count
    run_id: str
    created: int
    as_found: bool = False

    @property
    def judged(self) -> str:
        """How, in words; empty where it was not."""
        if self.test_accuracy is None:
            return ""
        return "as found" if self.as_found else "trained alone"


_TICKET_ORDERS: Mapping[TicketOrder, Callable[[TicketEntry], Any]] = {
    "accuracy": lambda t: (-1.0 if t.test_accuracy is None else t.test_accuracy, t.sparsity),
    "sparsity": lambda t: (t.sparsity, -1.0 if t.test_accuracy is None else t.test_accuracy),
    "steps-saved": lambda t: (t.steps_saved, t.sparsity),
    "set-size": lambda t: -t.set_size,
    "newest": lambda t: (t.created, t.version),
}


class Wanted(TypedDict, total=False):
    """Which tickets, best first by `sort` (`name` is alphabetical), and how many.

    min_accuracy leaves out the tickets that were not judged.
    """

    data: str | None
    architecture: str | None
    method: str | None
    min_sparsity: float | None
    min_accuracy: float | None
    sort: TicketOrder
    limit: int | None


def choose(tickets: Iterable[TicketEntry], **wanted: Unpack[Wanted]) -> list[TicketEntry]:
    """Those that are wanted, in that order."""
    least, accurate = wanted.get("min_sparsity"), wanted.get("min_accuracy")
    chosen = [
        ticket
        for ticket in tickets
        if wanted.get("data") in (None, ticket.data)
        and wanted.get("architecture") in (None, ticket.architecture)
        and wanted.get("method") in (None, ticket.method)
        and (least is None or ticket.sparsity >= least - 1e-9)
        and (accurate is None or (ticket.test_accuracy or -1.0) >= accurate - 1e-9)
    ]
    chosen.sort(key=lambda t: (t.data, t.architecture, t.method, t.sparsity, t.version))
    sort = wanted.get("sort", "accuracy")
    if sort != "name":
        chosen.sort(key=_TICKET_ORDERS[sort], reverse=True)
    return chosen[: wanted.get("limit")]


def tickets_in(stages: Path, refused: list[str] | None = None) -> Iterator[TicketEntry]:
    """The tickets that runs in one process left in their folder of stages.

    refused: takes a line for each that can't be read; without it, the first of them is raised, a
    TicketError.
    """
    for file in sorted(stages.glob(f"*/ticket/{MANIFEST_FILE}")):
        folder = file.parent
        if folder.parent.name.startswith(".") or folder.parent.is_symlink():
            continue  # being made or deleted, or somebody else's
        try:
            manifest = manifest_from(read_inside(folder, file.name, MAX_MANIFEST), folder)
            told = {name: manifest.lineage[name] for name in _TOLD & manifest.lineage.keys()}
            # Where it is, and what its mask is, no lineage decides.
            place = {"where": str(folder), "model": "", "version": 0, "aliases": (), "run_id": ""}
            place |= {"sparsity": manifest.sparsity, "weights_alive": manifest.weights_alive}
            created = {"created": int(file.stat().st_mtime * 1000)}
            yield formed(TicketEntry, {**_UNTOLD, **told, **place, **created}, within="lineage")
        except (OSError, SchemaError, TicketError) as error:
            ours = isinstance(error, TicketError)
            line = str(error) if ours else f"{folder} can't be read: {error}"
            if refused is None:
                raise TicketError(line) from None
            refused.append(line)


_TOLD = {field.name for field in fields(TicketEntry)}
_UNTOLD: Mapping[str, Any] = {
    **dict.fromkeys(("data", "architecture", "method", "recipe"), ""),
    **dict.fromkeys(("round", "weights_alive", "search_steps", "set_size", "seed"), 0),
    **dict.fromkeys(("sparsity", "steps_saved"), 0.0),
    **dict.fromkeys(("validation_accuracy", "test_accuracy", "dense_test_accuracy"), None),
}
