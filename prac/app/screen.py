"""What a command shows while it runs: with rich where it is installed, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from prac.app.console import say
from prac.app.progress import Lines
from prac.lottery.graph import Graph, Stage
from prac.lottery.progress import Display
from prac.report.wording import broken

# rich is optional, and only a terminal needs what draws on it.
if TYPE_CHECKING:
    from rich.console import Console

    from prac.analysis.results import Results


class Screen(Protocol):
    """Where a command shows what it does."""

    def line(self, text: str, *, whole: bool = False) -> None:
        """A line, broken between words where the terminal is narrower; whole: never, for a path or
        command to be copied."""

    def plan(self, graph: Graph, finished: Iterable[str]) -> None:
        """The graph: each stage, cached or to run. finished: keys."""

    def results(self, results: Results) -> None:
        """The table and the verdicts."""

    def display(self, stages: list[Stage], samples: int) -> Display:
        """What shows the progress of these stages. samples: of the training split."""


class RichScreen:
    """Tables and bars."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def line(self, text: str, *, whole: bool = False) -> None:
        """Words that are wider than the terminal are not broken, which rich would do."""
        told = text if whole else "\n".join(broken(text, self.console.width))
        self.console.print(told, highlight=False, markup=False, soft_wrap=True)

    def plan(self, graph: Graph, finished: Iterable[str]) -> None:
        from prac.app.plan import print_plan

        print_plan(graph, finished, self.console)

    def results(self, results: Results) -> None:
        from prac.report.terminal import print_table

        print_table(results, self.console)

    def display(self, stages: list[Stage], samples: int) -> Display:
        """Bars where a person looks at a terminal, plain lines elsewhere."""
        from prac.app.bars import Bars

        if self.console.is_terminal:
            return Bars(stages, samples, self.console)
        return Lines(stages, samples)


class PlainScreen:
    """Lines alone."""

    def line(self, text: str, *, whole: bool = False) -> None:
        say(text)

    def plan(self, graph: Graph, finished: Iterable[str]) -> None:
        done = set(finished)
        names = {stage.name for stage in graph.to_run(done)}
        for stage in graph.stages.values():
            state = "to run" if stage.name in names else "cached" if stage.key in done else "-"
            self.line(f"{stage.name}\t{state}\t{stage.max_steps or ''}")

    def results(self, results: Results) -> None:
        from prac.report.odd_sets import odd_sets
        from prac.report.tables import key_rows, result_row
        from prac.report.verdict import brief_verdicts, noise_sentence

        for row in key_rows(results):
            self.line("\t".join(f"{n} {cell}" for n, cell in result_row(results, row).items()))
        for sentence in odd_sets(results):
            self.line(sentence)
        for networks, told in brief_verdicts(results):
            self.line(f"{networks}: {told}")
        if results.rows:
            self.line(noise_sentence(results))

    def display(self, stages: list[Stage], samples: int) -> Display:
        return Lines(stages, samples)


def make_screen() -> Screen:
    """For this process's standard output."""
    if find_spec("rich") is None:
        return PlainScreen()
    from prac.app.console import make_console

    return RichScreen(make_console())
