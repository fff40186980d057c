"""A Dockerfile as the builder reads it: stages of instructions, with what is filled into them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Stage:
    """What one FROM begins. base: an image, or the name of an earlier stage."""

    name: str
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Build:
    """All stages by name, in their order, and the arguments before the first."""

    stages: dict[str, Stage]
    arguments: dict[str, str]

    @classmethod
    def read(cls, file: Path) -> Build:
        """Comments are dropped, also those between continued lines, as the builder does."""
        lines = [
            line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")
        ]
        made = cls({}, {})
        for line in "\n".join(lines).replace("\\\n", " ").splitlines():
            word, _, rest = line.strip().partition(" ")
            if word == "FROM":
                base, name = re.fullmatch(r"(\S+) AS (\S+)", rest).groups()  # type: ignore[union-attr]
                made.stages[name] = Stage(name, _filled(base, made.arguments))
            elif word == "ARG" and not made.stages:
                made.arguments |= _assigned(rest)
            elif word:
                list(made.stages.values())[-1].instructions.append((word, rest.strip()))
        return made

    def chain(self, name: str) -> list[tuple[str, str]]:
        """The instructions that make a stage, those of the stages it is from first; ARG and ENV
        filled in what comes after them."""
        stage, variables, made = self.stages[name], dict(self.arguments), []
        known = self.chain(stage.base) if stage.base in self.stages else []
        for word, rest in [*known, *stage.instructions]:
            filled = _filled(rest, variables)
            if word in ("ARG", "ENV"):
                variables |= _assigned(filled)
            made.append((word, filled))
        return made

    def last(self, name: str, word: str) -> str:
        """What the image of a stage has of an instruction that counts once."""
        return [rest for instruction, rest in self.chain(name) if instruction == word][-1]

    def variables(self, name: str) -> dict[str, str]:
        """Of the image of a stage; build arguments are none of them."""
        return {
            key: value
            for word, rest in self.chain(name)
            if word == "ENV"
            for key, value in _assigned(rest).items()
        }


def _assigned(text: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(text))


def _filled(text: str, variables: dict[str, str]) -> str:
    return re.sub(r"\$\{(\w+)\}", lambda m: variables.get(m[1], m[0]), text)
