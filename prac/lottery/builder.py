"""Adds stages to a graph; the same stage twice is one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prac.fingerprint import stage_key
from prac.lottery.graph import Kind, Request, SearchStages, Stage

VERSIONS: Mapping[Kind, int] = {
    "dense": 1,
    "reduce": 1,
    "select": 1,
    "proxy": 1,
    "score": 1,
    "subset": 2,
    "round": 1,
    "prune": 1,
    "start": 1,
    "judge": 1,
    "ticket": 2,
    "report": 1,
}
"""Raised when a stage's code changes what it makes: its old results are then not found any more."""


@dataclass
class Builder:
    """The stages so far, and what later searches refer to.

    searches, samples: by (architecture, method); samples are what makes D_1 to D_N.
    dense_judgements: by architecture.
    """

    request: Request
    stages: dict[str, Stage] = field(default_factory=dict)
    searches: dict[tuple[str, str], SearchStages] = field(default_factory=dict)
    samples: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    dense_judgements: dict[str, str] = field(default_factory=dict)

    def add(
        self,
        kind: Kind,
        name: str,
        *,
        architecture: str = "",
        method: str = "",
        round_index: int = 0,
        config: Mapping[str, Any] | None = None,
        inputs: Mapping[str, str] | None = None,
        max_steps: int = 0,
    ) -> str:
        """Add a stage and return its name; a stage with the same key is the same stage."""
        inputs = inputs or {}
        config = {"data": self.request.data, **(config or {})}
        input_keys = {role: self.stages[other].key for role, other in inputs.items()}
        key = stage_key(kind, VERSIONS[kind], config, input_keys)
        for other in self.stages.values():
            if other.key == key:
                return other.name
        self.stages[name] = Stage(
            name=name,
            kind=kind,
            architecture=architecture,
            method=method,
            round_index=round_index,
            config=config,
            inputs=inputs,
            key=key,
            max_steps=max_steps,
        )
        return name
