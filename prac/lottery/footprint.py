"""How many bytes stages will leave, told before they run: of the sizes of networks and data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prac.lottery.graph import Stage
from prac.lottery.kinds import KINDS
from prac.lottery.outputs import (
    BEST,
    NEXT_MASK,
    PREDICTIONS,
    REWIND,
    SCORES,
    SET,
    STATISTICS,
    TICKET,
    TRAINED,
    File,
)
from prac.lottery.sizes import NetworkSize
from prac.lottery.stage_config import RoundConfig

_SAMPLE_BYTES = {SET.name: 3, STATISTICS.name: 12, SCORES.name: 12, PREDICTIONS.name: 4}
"""Of a row, compressed: of 1,294 digits and of 45,000 photographs, within a half."""
_EVENT_BYTES = 2
"""Of an event, compressed: 1.8 measured on a million."""
_REPORT_BYTES = 1_000_000


def footprint(
    stages: Iterable[Stage],
    sizes: Mapping[str, NetworkSize],
    num_training: int,
    *,
    fraction: float,
    graphs: bool,
) -> dict[str, int]:
    """Bytes by kind, about, and `events` for what dense training leaves in the storage.

    sizes: of the networks by name. num_training: samples of the training split. fraction: of the
    weights still alive that a round prunes. graphs: whether a ticket that was trained is kept as
    MLflow's model as well.
    """
    found: dict[str, int] = {}
    for stage in stages:
        size = sizes.get(getattr(stage.config, "architecture", ""), NetworkSize(0, 0))
        packed = packed_bytes(size, (1 - fraction) ** stage.round_index)
        left = sum(_bytes(file, size, packed, num_training) for file in _left(stage))
        if stage.kind == "ticket" and "judge" in stage.inputs:
            left += size.state * (2 if graphs else 1)
        if stage.kind == "report":
            left = _REPORT_BYTES
        found[stage.kind] = found.get(stage.kind, 0) + left
        if KINDS[stage.kind].keeps == "events" and stage.config.records_events:
            events = stage.config.train.epochs * num_training * _EVENT_BYTES
            found["events"] = found.get("events", 0) + events
    return {kind: count for kind, count in found.items() if count}


def footprint_line(left: Mapping[str, int]) -> str:
    """What `footprint` found, the largest first."""
    parts = sorted(left.items(), key=lambda part: -part[1])
    told = ", ".join(f"{kind} {shown_bytes(count)}" for kind, count in parts)
    return f"about {shown_bytes(sum(left.values()))} will be left: {told}"


def shown_bytes(size: int | None) -> str:
    """`17.7 MB`; a dash where it is not known."""
    if size is None:
        return "–"
    for unit, divisor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= divisor:
            return f"{size / divisor:.1f} {unit}"
    return f"{size} bytes"


def _left(stage: Stage) -> list[File[Any]]:
    """What its kind leaves, and what this one of them does."""
    files = list(KINDS[stage.kind].leaves)
    if isinstance(stage.config, RoundConfig):
        files += [REWIND] if stage.config.rewind is not None else []
        files += [PREDICTIONS] if stage.config.predicts_with is not None else []
        files += [STATISTICS] if stage.kind == "round" and stage.config.records_events else []
    if stage.kind == "ticket" and "samples" in stage.inputs:
        files.append(SET)
    return files


def packed_bytes(size: NetworkSize, alive: float) -> int:
    """Of all weights without their zeros, where this share of the prunable ones is none: a bit
    tells the place of each."""
    return size.state + min(0, round(4 * size.prunable * (alive - 1)) + size.prunable // 8)


def _bytes(file: File[Any], size: NetworkSize, packed: int, num_training: int) -> int:
    of_network = {
        NEXT_MASK.name: size.prunable,
        BEST.name: packed,
        REWIND.name: size.state,
        TRAINED.name: packed,
        TICKET.name: size.state + size.prunable,
    }
    return of_network.get(file.name, _SAMPLE_BYTES.get(file.name, 0) * num_training)
