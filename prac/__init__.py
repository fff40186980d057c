"""Lottery tickets on Pruning-Aware Critical sets (arXiv:2106.03225): the public names."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.version import __version__ as __version__

if TYPE_CHECKING:
    from prac.config.methods import Method
    from prac.config.recipe import Recipe
    from prac.config.recipes import get_recipe
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
    from prac.config.values import RewindPoint, Share
    from prac.data.dataset import ImageDataset
    from prac.data.sources import open_source
    from prac.errors import ConfigError, PracError
    from prac.events.log import EventLog
    from prac.events.recorder import EventRecorder
    from prac.events.schema import EVENT_SCHEMA
    from prac.events.statistics import forgetting_statistics
    from prac.lottery.judge import judge
    from prac.lottery.rounds import RoundOutcome, RoundTask, TrainRound
    from prac.lottery.search import Local, search
    from prac.lottery.search_result import SearchResult
    from prac.models.registry import build_model
    from prac.pruning.criteria import criterion
    from prac.pruning.early_bird import EarlyBird
    from prac.pruning.gradual import GradualMask
    from prac.pruning.magnitude import global_magnitude
    from prac.pruning.mask import Mask
    from prac.pruning.masked_step import MaskedStep
    from prac.pruning.tentative import TentativeMask
    from prac.selection.critical import critical_for_pruning, critical_for_training
    from prac.selection.prac_set import PracSet, Reason
    from prac.selection.samplers import sampler
    from prac.selection.scores import scorer
    from prac.ticket.format import Ticket
    from prac.ticket.retrain import Judgement

_HOMES = {
    "prac.config.sections": (
        "AugmentConfig BudgetConfig DataConfig ModelConfig PruneConfig SearchConfig SelectConfig "
        "TrainConfig"
    ),
    "prac.config.recipe": "Recipe",
    "prac.config.values": "RewindPoint Share",
    "prac.data.dataset": "ImageDataset",
    "prac.data.sources": "open_source",
    "prac.errors": "ConfigError PracError",
    "prac.events.log": "EventLog",
    "prac.events.recorder": "EventRecorder",
    "prac.events.schema": "EVENT_SCHEMA",
    "prac.events.statistics": "forgetting_statistics",
    "prac.config.methods": "Method",
    "prac.lottery.judge": "judge",
    "prac.lottery.rounds": "RoundOutcome RoundTask TrainRound",
    "prac.lottery.search": "Local search",
    "prac.lottery.search_result": "SearchResult",
    "prac.models.registry": "build_model",
    "prac.pruning.criteria": "criterion",
    "prac.pruning.early_bird": "EarlyBird",
    "prac.pruning.magnitude": "global_magnitude",
    "prac.pruning.mask": "Mask",
    "prac.pruning.masked_step": "MaskedStep",
    "prac.pruning.gradual": "GradualMask",
    "prac.pruning.tentative": "TentativeMask",
    "prac.config.recipes": "get_recipe",
    "prac.selection.critical": "critical_for_pruning critical_for_training",
    "prac.selection.prac_set": "PracSet Reason",
    "prac.selection.samplers": "sampler",
    "prac.selection.scores": "scorer",
    "prac.ticket.format": "Ticket",
    "prac.ticket.retrain": "Judgement",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "EVENT_SCHEMA",
    "AugmentConfig",
    "BudgetConfig",
    "ConfigError",
    "DataConfig",
    "EarlyBird",
    "EventLog",
    "EventRecorder",
    "GradualMask",
    "ImageDataset",
    "Judgement",
    "Local",
    "Mask",
    "MaskedStep",
    "Method",
    "ModelConfig",
    "PracError",
    "PracSet",
    "PruneConfig",
    "Reason",
    "Recipe",
    "RewindPoint",
    "RoundOutcome",
    "RoundTask",
    "SearchConfig",
    "SearchResult",
    "SelectConfig",
    "Share",
    "TentativeMask",
    "Ticket",
    "TrainConfig",
    "TrainRound",
    "build_model",
    "criterion",
    "critical_for_pruning",
    "critical_for_training",
    "forgetting_statistics",
    "get_recipe",
    "global_magnitude",
    "judge",
    "open_source",
    "sampler",
    "scorer",
    "search",
]


_PACKAGES = (
    *("analysis", "app", "cli", "config", "data", "distributed", "distributed/sweep", "events"),
    *("lottery", "lottery/steps", "models", "plugins", "pruning", "report", "report/figures"),
    *("selection", "sweep", "ticket", "tracking", "training"),
)


_gone = [p for p in _PACKAGES if not (Path(__file__).parent / p / "__init__.py").is_file()]
if _gone:
    from prac.errors import lacks

    # The way to it tells nothing: one line, in place of a traceback.
    sys.tracebacklimit = 0
    raise ModuleNotFoundError(lacks(", ".join(f"prac/{package}" for package in _gone)))


def __getattr__(name: str) -> Any:
    # Importing torch takes seconds; `prac --help` must not pay for names it doesn't use.
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'prac' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
