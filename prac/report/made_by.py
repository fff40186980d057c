"""What made the stages: versions and machines, and which stages were made otherwise than others."""

from __future__ import annotations

from collections import defaultdict

from prac.analysis.results import Results
from prac.training.made_by import NOT_NOTED


def makers(results: Results) -> list[tuple[str, str]]:
    """Each thing that was noted and its answer; where stages differ, each answer with how many
    stages of which kinds it made."""
    return [(name, _told(kinds)) for name, kinds in _answers(results).items()]


def _answers(results: Results) -> dict[str, dict[str, list[str]]]:
    """By name and answer the kinds of the stages."""
    found: dict[str, dict[str, list[str]]] = {
        name: defaultdict(list)
        for name in sorted({name for stage in results.stages for name in stage.made_by})
    }
    for stage in results.stages:
        for name, answers in found.items():
            # Stages that compute nothing have no device; of one by an earlier version all is open.
            if name in stage.made_by or not stage.made_by:
                answers[stage.made_by.get(name, NOT_NOTED)].append(stage.kind)
    return found


def _told(answers: dict[str, list[str]]) -> str:
    if len(answers) == 1:
        return next(iter(answers))
    return "; ".join(
        f"{answer} ({_stages(len(kinds))}: {', '.join(dict.fromkeys(kinds))})"
        for answer, kinds in sorted(answers.items())
    )


def _stages(number: int) -> str:
    return "1 stage" if number == 1 else f"{number} stages"


def mixture_sentence(results: Results) -> str:
    """What differs between stages, in a sentence; empty where nothing does."""
    differ = [name for name, kinds in _answers(results).items() if len(kinds) > 1]
    if not differ:
        return ""
    return f"Not all stages were made alike: they differ in {', '.join(differ)}."
