"""The code blocks of a Markdown page, in order; a comment before a block says why it is not run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<why>[^>]+) -->\n+)?```(?P<language>\w+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block: the line it begins in, and why it can't be run, if it can't."""

    text: str
    line: int
    why_not: str | None


def blocks(page: Path, language: str) -> list[Block]:
    """All fenced blocks of this language."""
    text = page.read_text()
    return [
        Block(found["text"], text.count("\n", 0, found.start("text")) + 1, found["why"])
        for found in _BLOCK.finditer(text)
        if found["language"] == language
    ]


def commands(block: Block) -> list[str]:
    """The commands of a shell block, comments gone, lines that go on and `&&` resolved."""
    text = re.sub(r"\\\n\s*", " ", block.text)
    lines = (re.sub(r"(^|\s)#.*", "", line) for line in text.splitlines())
    return [part.strip() for line in lines for part in line.split("&&") if part.strip()]
