"""Which stages make the set of a round, D_k: what counts, scores and takes the samples."""

from __future__ import annotations

import dataclasses
from typing import Any

from prac.config.methods import PRAC
from prac.config.strategies import ProxyOptions
from prac.errors import ConfigError
from prac.lottery.line import Line
from prac.lottery.method_config import score_settings
from prac.lottery.stage_config import (
    ProxyConfig,
    ReduceConfig,
    ScoreStageConfig,
    SelectStageConfig,
    SubsetStageConfig,
)
from prac.selection.scores import Scorer, find_score
from prac.training.schedule import full_budget


def add_set(line: Line, index: int) -> None:
    """What makes D_k, k = `index`, from what the rounds before left; nothing for everything."""
    if line.method.data == "everything":
        return
    if line.method is PRAC and index == 1 and not line.transferred:
        # For the report's samples, whatever the selection reads.
        _statistics(line)
    if line.method.data == "fresh":
        # PrAC's sets, for their sizes.
        line.samples.append(line.others[line.source, PRAC.name].samples[index - 1])
    elif line.transferred:
        made = line.others[line.source, line.method.name]
        line.samples.append(made.samples[index - 1])
        line.proxy = made.proxy
    elif line.select.score == "critical":
        line.samples.append(_selection(line, index))
    else:
        line.samples.append(_subset(line, index))


def _statistics(line: Line) -> str:
    inputs = {"dense": line.rounds[0]}
    return line.add("reduce", 0, ReduceConfig(), inputs, name=f"reduce:{line.label}")


def _selection(line: Line, index: int) -> str:
    inputs = {"statistics": line.rounds[index - 1]}
    if index == 1:
        inputs = {"statistics": _statistics(line)}
    elif line.select.cep:
        inputs |= {"dense": line.rounds[0], "pruned": line.rounds[index - 1]}
    config = SelectStageConfig.of(line.request.recipe, line.select, index)
    return line.add("select", index, config, inputs)


def _subset(line: Line, index: int) -> str:
    inputs = {}
    if line.method.borrows in ("sizes", "steps"):
        inputs["size"] = line.others[line.source, PRAC.name].samples[index - 1]
    scores = _scores(line, index)
    if scores is not None:
        inputs["scores"] = scores
    told = {"scored": scores is not None, "sized": "size" in inputs}
    config = SubsetStageConfig.of(line.request.recipe, line.select, index, **told)
    return line.add("subset", index, config, inputs)


def _require_epochs(line: Line, score: Scorer) -> None:
    """An early stop may leave fewer still, which the score itself refuses."""
    told: Any = line.select.told(score.options)
    epochs = line.request.recipe.train.epochs
    epochs = min(epochs, getattr(told, "score_epochs", None) or epochs)
    if epochs < score.least_epochs:
        raise ConfigError(
            f"select.score {line.select.score} needs {score.least_epochs} epochs of round 0, and "
            f"train.epochs and select.score_epochs leave {epochs}; allowed: more, or another score"
        )


def _scores(line: Line, index: int) -> str | None:
    """What scores the samples for D_k; None where a score reads nothing but the draw."""
    score, request = find_score(line.select.score), line.request
    reads = score.reads
    if reads == "nothing":
        return None
    if reads == "events":
        _require_epochs(line, score)
    # Of the round before for the model's own score, else one for the whole search.
    number = index if reads == "model" else 0
    config = ScoreStageConfig(
        score=score_settings(line.select), draw=(request.recipe.search.seed, number)
    )
    owner: Line | None = line
    if reads == "events":
        inputs = {"dense": line.rounds[0]}
    elif reads == "model":
        inputs = {"model": line.rounds[index - 1]}
        config = _calling(line, config, line.architecture)
    else:
        line.proxy = _proxy(line)
        inputs = {"model": line.proxy}
        config = _calling(line, config, line.select.told(ProxyOptions).proxy)
        owner = None  # all architectures share it
    name = f"score:{line.label if owner else line.shared(line.select.score)}"
    name = f"{name}:{number}" if number else name
    return line.stages.add("score", name, config, inputs, line=owner, index=number)


def _calling(line: Line, config: ScoreStageConfig, architecture: str) -> ScoreStageConfig:
    return dataclasses.replace(config, architecture=architecture, precision=line.request.precision)


def _proxy(line: Line) -> str:
    request = line.request
    config = ProxyConfig.of(request.recipe, line.select, request.precision)
    steps = full_budget(config.train, request.num_training).steps
    name = f"proxy:{line.shared(config.architecture)}"
    return line.stages.add("proxy", name, config, {}, max_steps=steps)
