"""What a sweep leaves: parameters and metrics of its run, the best configuration, the last line."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from statistics import fmean
from typing import Any

from prac.analysis.metric import Metric
from prac.analysis.trials import SweepResults
from prac.config.recipe import Recipe, fields_of
from prac.lottery.graph import Stage
from prac.lottery.outputs import JudgeFacts, Made
from prac.sweep.space import SECTIONS, SweepOptions, Values, setting_text


def sweep_parameters(recipe: Recipe, sweep: SweepOptions, num_trials: int) -> dict[str, Any]:
    """Parameters of the sweep's run: what varies, and what all trials have in common."""
    space = sweep.space
    vary = {
        axis.field: f"{axis.low}..{axis.high}"
        if axis.is_range
        else ",".join(map(setting_text, axis.values))
        for axis in space.axes
    }
    common = {
        f"{section}.{name}": value
        for section in ("train", "search", *SECTIONS)
        for name, value in fields_of(getattr(recipe, section)).items()
    }
    return {
        "recipe": recipe.name,
        "architectures": " ".join(recipe.architectures),
        "sampler": space.sampler,
        "trials": num_trials,
        "asha": sweep.asha,
        **{f"vary.{name}": text for name, text in vary.items()},
        **{name: value for name, value in common.items() if name not in vary},
    }


def sweep_metrics(results: SweepResults) -> list[Metric]:
    """One step a trial: MLflow draws them as a curve over the trials."""
    several = len(results.architectures) > 1
    return [
        Metric(f"{row.architecture}/{name}" if several else name, float(value), row.trial)
        for row in results.rows
        for name in ("test_accuracy", "search_steps", "set_size")
        if (value := getattr(row, name)) is not None
    ]


def dense_accuracies(stages: Iterable[Stage], made: Mapping[str, Made]) -> dict[str, float]:
    """By architecture, the mean test accuracy of dense networks that were judged as tickets are:
    those as found are, where none is trained. made: by stages' names."""
    judging = [stage for stage in stages if stage.kind == "judge"]
    trained = {stage.architecture for stage in judging if not stage.config.as_found}
    found: dict[str, list[float]] = {}
    for stage in judging:
        if stage.round_index > 0:
            continue
        as_tickets = stage.config.as_found == (stage.architecture not in trained)
        if as_tickets and stage.name in made:
            tested = made[stage.name].known(JudgeFacts).test_accuracy
            found.setdefault(stage.architecture, []).append(tested)
    return {name: fmean(accuracies) for name, accuracies in found.items()}


def best_configuration(
    results: SweepResults, command: Callable[[Values], str]
) -> dict[str, Any] | None:
    """The best trial with the command line that runs its whole pipeline; None where none ended."""
    if results.best is None:
        return None
    label = next(row.label for row in results.rows if row.trial == results.best)
    # Values may have spaces, such as several layers: a setting begins with its name.
    settings = dict(pair.split("=", 1) for pair in re.split(r" (?=\w+\.\w+=)", label))
    return {
        "trial": results.best,
        "label": label,
        "settings": settings,
        "command": command(settings),
    }


def sweep_json(results: SweepResults) -> dict[str, Any]:
    """Fronts and trials for the last line."""
    return {
        "sweep": results.sweep,
        "num_points": results.num_points,
        "front": {
            architecture: {
                "steps": [row.label for row in results.front(architecture, "search_steps")],
                "set_size": [row.label for row in results.front(architecture, "set_size")],
            }
            for architecture in results.architectures
        },
        "trials": [dataclasses.asdict(row) for row in results.rows],
    }
