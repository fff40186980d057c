"""A whole configuration: its sections, and what has to hold between them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from prac.config.checks import require as _require
from prac.config.checks import require_strategy as _require_strategy
from prac.config.methods import METHODS
from prac.config.plug_ins import plug_ins
from prac.config.sections import (
    AugmentConfig,
    BudgetConfig,
    DataConfig,
    ModelConfig,
    PruneConfig,
    SearchConfig,
    SelectConfig,
    TrainConfig,
)
from prac.config.values import RewindPoint
from prac.errors import ConfigError, unknown
from prac.plugins import is_custom, name_of

SECTIONS = ("data", "model", "augment", "train", "prune", "select", "budget", "search")
"""The parts that settings are of."""


def fields_of(section: Any) -> dict[str, Any]:
    """By name; the options of scores and samplers stand beside the fields of `select`."""
    values = dict(vars(section))
    return values | dict(values.pop("options", ()))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole configuration; `prac.config.recipes` has those with a name. `replace` changes one."""

    WIRE: ClassVar[str] = "recipe"
    name: str
    description: str
    architectures: tuple[str, ...]
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    prune: PruneConfig = field(default_factory=PruneConfig)
    select: SelectConfig = field(default_factory=SelectConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    compare: tuple[str, ...] = ()
    model: ModelConfig = field(default=ModelConfig(), metadata={"later": True})

    def __post_init__(self) -> None:
        for name in ("architectures", "compare"):
            object.__setattr__(self, name, tuple(name_of(each) for each in getattr(self, name)))
        _require(len(self.architectures) >= 1, "architectures", self.architectures, "one or more")
        _require(
            len(set(self.architectures)) == len(self.architectures),
            "architectures",
            self.architectures,
            "each name once",
        )
        for method in self.compare:
            _require_strategy("compare", method, METHODS)
        select = self.select
        if select.score == "critical" and select.sampler != "top":
            raise ConfigError(
                f"select.sampler {select.sampler!r} takes samples by a score, and select.score is "
                "critical; allowed: another select.score, or a method that has a sampler, e.g. "
                "--compare el2n-ccs"
            )
        if select.score != "critical" and (select.easy or select.late_threshold is not None):
            raise ConfigError(
                "select.easy and select.late_threshold are of critical sets, and select.score is "
                f"{select.score}; allowed: select.easy=0 and select.late_threshold=none"
            )
        if select.late_threshold is not None and select.late_from > self.search.rounds:
            raise ConfigError(
                f"select.late_from {select.late_from} is past the last set, so that "
                f"select.late_threshold is never used; allowed: 1 to {self.search.rounds}"
            )
        rewind = self.search.rewind
        if self.prune.gradual and rewind.rewinds:
            raise ConfigError(
                f"prune.gradual {self.prune.gradual} prunes in the course of a round that goes on "
                f"from the weights before, and search.rewind is {rewind}; allowed: "
                "search.rewind=learning-rate, or prune.gradual=0 (--compare gradual needs neither)"
            )
        if self.prune.gradual and select.cep_model == "pruned":
            raise ConfigError(
                "select.cep_model=pruned prunes a network after its round, and with prune.gradual "
                f"{self.prune.gradual} that is pruned within it; allowed: select.cep_model=round"
            )
        if rewind.unit == "epoch" and rewind.at > self.train.epochs:
            raise ConfigError(
                f"search.rewind {rewind} is past the budget; "
                f"allowed: up to epoch:{self.train.epochs}"
            )

    @property
    def plug_ins(self) -> tuple[str, ...]:
        """The user's that it names, wherever: networks, methods, strategies and their options."""
        options = dict(self.select.options).values()
        told = (value for value in options if isinstance(value, str))
        named = filter(is_custom, (*self.architectures, *self.compare, *told))
        return (*named, *plug_ins(self.augment, self.train, self.prune, self.select))

    def with_epochs(self, epochs: int) -> Recipe:
        """At another full budget: milestones and warm-up keep their share of it, and a rewind point
        past it becomes its end. Raises ConfigError."""
        _require(1 <= epochs < 2**15, "train.epochs", epochs, "1 to 32767")
        search = self.search
        if search.rewind.unit == "epoch" and search.rewind.at > epochs:
            search = dataclasses.replace(search, rewind=RewindPoint("epoch", epochs))
        return self.replace(train=self.train.with_epochs(epochs), search=search)

    def set(self, **sections: Mapping[str, Any]) -> Recipe:
        """With some fields changed, by section: `recipe.set(search={"rounds": 3})`.

        What is no field of `select` is an option of a score or a sampler. Raises ConfigError.
        """
        changed = {}
        for name, fields in sections.items():
            if name not in SECTIONS:
                raise unknown("section", name, SECTIONS)
            if not isinstance(fields, Mapping):
                raise ConfigError(f"{name} {fields!r} is not allowed; allowed: fields by name")
            config, fields = getattr(self, name), dict(fields)
            known = {each.name for each in dataclasses.fields(config)}
            strange = set() if name == "select" else fields.keys() - known
            for each in sorted(map(str, strange)):
                raise unknown(f"field of {name}", each, known)
            if name == "select":
                told = {field: fields.pop(field) for field in fields.keys() - known}
                if told:
                    fields["options"] = dict(fields.get("options", config.options)) | told
            changed[name] = dataclasses.replace(config, **fields)
        return self.replace(**changed)

    def replace(self, **changes: Any) -> Recipe:
        """A copy with some fields changed; see `dataclasses.replace`."""
        return dataclasses.replace(self, **changes)
