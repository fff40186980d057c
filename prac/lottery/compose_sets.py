"""The stages that make the sets of a search: critical ones, and those by a score."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from prac.config.methods import PRAC, Method
from prac.config.sections import PruneConfig, SelectConfig
from prac.lottery.builder import Builder
from prac.lottery.method_config import ProxyConfig, sampler_settings, score_settings
from prac.selection.scores import find_score
from prac.training.schedule import full_budget


@dataclass
class Line:
    """One search while its stages are added, by round.

    source: the architecture whose sets it uses; its own, where none are transferred. rounds: what
    trains m_0, m_1, ...; masks: what makes m_1, m_2, ...: the same, but where masks are made beside
    the training. samples: what makes D_1, D_2, ...
    """

    architecture: str
    source: str
    method: Method
    select: SelectConfig
    prune: PruneConfig
    rounds: list[str] = field(default_factory=list)
    masks: list[str] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)

    @property
    def proxy(self) -> str | None:
        """What trains the network that chooses its sets, if one does."""
        own = self.method.data == "selected" and not self.transferred
        return _proxy_name(self.select) if own and self.select.score == "proxy" else None

    @property
    def label(self) -> str:
        """What its stages' names have in common."""
        return f"{self.architecture}:{self.method.name}"

    @property
    def transferred(self) -> bool:
        """Whether it uses the sets of another architecture."""
        return self.source != self.architecture


def add_set(builder: Builder, line: Line, index: int) -> None:
    """What makes D_k, k = `index`, from what the rounds before left; nothing for everything.

    A method that draws a fresh subset in every epoch has PrAC's sets for their sizes.
    """
    if line.method.data == "everything":
        return
    if line.method is PRAC and index == 1 and not line.transferred:
        # For the report's samples, whatever the selection reads.
        _add_statistics(builder, line)
    if line.method.data == "fresh":
        line.samples.append(builder.samples[line.source, PRAC.name][index - 1])
    elif line.transferred:
        line.samples.append(builder.samples[line.source, line.method.name][index - 1])
    elif line.select.score == "critical":
        line.samples.append(_add_selection(builder, line, index))
    else:
        line.samples.append(_add_subset(builder, line, index))


def _add_selection(builder: Builder, line: Line, index: int) -> str:
    select = line.select
    config: dict[str, Any] = {
        "threshold": select.threshold_for(index),
        "cet": select.cet,
        "cep": select.cep,
    }
    if select.easy > 0:
        # Only these are drawn: sets without them are the same for every seed of the draw.
        seed = builder.request.recipe.search.seed
        config |= {"easy": select.easy, "seed": seed, "round": index}
    inputs = {"before": line.rounds[index - 1]}
    if index == 1:
        inputs = {"statistics": _add_statistics(builder, line)}
    elif select.cep:
        inputs["dense"] = line.rounds[0]
    return builder.add(
        "select",
        f"select:{line.label}:{index}",
        architecture=line.architecture,
        method=line.method.name,
        round_index=index,
        config=config,
        inputs=inputs,
    )


def _add_statistics(builder: Builder, line: Line) -> str:
    """What counts the events of round 0."""
    return builder.add(
        "reduce",
        f"reduce:{line.label}",
        architecture=line.architecture,
        method=line.method.name,
        inputs={"dense": line.rounds[0]},
    )


def _add_subset(builder: Builder, line: Line, index: int) -> str:
    config: dict[str, Any] = {
        "seed": builder.request.recipe.search.seed,
        "round": index,
        "sampler": sampler_settings(line.select),
    }
    inputs = {}
    if line.method.borrows in ("sizes", "steps"):
        inputs["prac"] = builder.samples[line.source, PRAC.name][index - 1]
    else:
        config["fraction"] = line.select.fraction
    scores = _add_scores(builder, line, index)
    if scores is None:
        config["score"] = score_settings(line.select)
    else:
        inputs["scores"] = scores
    return builder.add(
        "subset",
        f"subset:{line.label}:{index}",
        architecture=line.architecture,
        method=line.method.name,
        round_index=index,
        config=config,
        inputs=inputs,
    )


def _add_scores(builder: Builder, line: Line, index: int) -> str | None:
    """What scores the samples for D_k; None where a score reads nothing but the draw."""
    reads = find_score(line.select.score).reads
    if reads == "nothing":
        return None
    request = builder.request
    # Of the round before for the model's own score, else one for the whole search.
    number = index if reads == "model" else 0
    config: dict[str, Any] = {
        "score": score_settings(line.select),
        "seed": request.recipe.search.seed,
        "round": number,
    }
    if reads == "events":
        inputs = {"dense": line.rounds[0]}
    elif reads == "model":
        inputs = {"model": line.rounds[index - 1]}
        config |= {"architecture": line.architecture, "precision": request.precision}
    else:
        inputs = {"model": _add_proxy(builder, line)}
        config |= {"architecture": line.select.proxy, "precision": request.precision}
    shared = reads == "proxy"
    name = f"score:{line.select.score}" if shared else f"score:{line.label}"
    return builder.add(
        "score",
        f"{name}:{number}" if number else name,
        architecture="" if shared else line.architecture,
        method="" if shared else line.method.name,
        round_index=number,
        config=config,
        inputs=inputs,
    )


def _add_proxy(builder: Builder, line: Line) -> str:
    request = builder.request
    config = ProxyConfig.of(request.recipe, line.select, request.precision)
    return builder.add(
        "proxy",
        _proxy_name(line.select),
        config={"proxy": config},
        max_steps=full_budget(config.train, request.num_training).steps,
    )


def _proxy_name(select: SelectConfig) -> str:
    return f"proxy:{select.proxy}"
