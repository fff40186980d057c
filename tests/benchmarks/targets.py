"""Every program, and the table of targets against measured figures.

python tests/benchmarks/targets.py --data parquet:PATH [--quick] [--reuse] [--folder benchmarks]

Each program's figures are `FOLDER/NAME.json`; `--reuse` takes those that are there and runs the
rest. Without `--data` the digits stand in, and what needs larger images is left out.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import Row, parser, show

HERE = Path(__file__).parent
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Target:
    """What is asked: at most, or at least, `limit`. figure: from the rows of a program."""

    what: str
    program: str
    figure: Callable[[Rows], float]
    limit: float
    unit: str
    at_least: bool = False

    def row(self, rows: Rows) -> Row:
        """Asked, measured, kept or not."""
        value = self.figure(rows)
        kept = value >= self.limit if self.at_least else value <= self.limit
        return {
            "target": self.what,
            "asked": f"{'>=' if self.at_least else '<='} {self.limit:g} {self.unit}".strip(),
            "measured": f"{value:.4g}",
            "kept": "yes" if kept else "NO",
        }


def cell(key: str, value: str, column: str) -> Callable[[Rows], float]:
    """The figure in `column` of the row whose `key` is `value`."""
    return lambda rows: float(next(row[column] for row in rows if row[key] == value))


def ratio(over: Callable[[Rows], float], under: Callable[[Rows], float]) -> Callable[[Rows], float]:
    """One figure over another of the same run."""
    return lambda rows: over(rows) / under(rows)


def rate(way: str) -> Callable[[Rows], float]:
    """Million events a second of one way to reduce."""
    return cell("way", way, "million events/s")


def bytes_of(columns: str) -> Callable[[Rows], float]:
    """Bytes an event with these columns, 45,000 samples an epoch."""
    return cell("columns", columns, "bytes an event")


FILES = "ours, from committed files"
FULL = "loop, masked, augmented, events"
TARGETS = [
    Target("prac --help", "startup", cell("what", "prac --help", "seconds"), 0.3, "s"),
    Target("a plan", "startup", cell("what", "pipelines/full.py --plan", "seconds"), 3, "s"),
    Target("a replay", "startup", cell("what", "a finished pipeline again", "seconds"), 10, "s"),
    Target("reducer, from memory", "reducer", rate("ours, in memory"), 100, "M events/s", True),
    Target("reducer, from files", "reducer", rate(FILES), 50, "M events/s", True),
    Target(
        "reducer from memory, against Polars",
        "reducer",
        ratio(rate("ours, in memory"), rate("Polars, in memory")),
        3,
        "times",
        True,
    ),
    Target(
        "reducer from memory, against DuckDB",
        "reducer",
        ratio(rate("ours, in memory"), rate("DuckDB, in memory")),
        3,
        "times",
        True,
    ),
    Target(
        "state of the reducer, a sample",
        "reducer",
        lambda rows: float(rows[0]["state, bytes a sample"]),
        40,
        "bytes",
    ),
    Target(
        "a billion events, peak memory",
        "billion",
        lambda rows: float(rows[0]["whole process, peak MiB"]),
        1024,
        "MiB",
    ),
    Target(
        "a stage of a fresh pipeline, training included",
        "startup",
        cell("what", "a stage more, fresh", "seconds"),
        0.5,
        "s",
    ),
    Target("an event with its margin", "events", bytes_of("margin"), 2, "bytes"),
    Target("an event with margin and el2n", "events", bytes_of("margin and el2n"), 2, "bytes"),
    Target("an event without scores", "events", bytes_of("neither"), 0.3, "bytes"),
    Target(
        "a round's step, share of the bare step's speed",
        "training",
        cell("way", FULL, "share of the bare speed"),
        0.95,
        "",
        True,
    ),
    Target(
        "a round's time, with events over without",
        "training",
        lambda rows: float(rows[-1]["time with events / without"]),
        1.01,
        "times",
    ),
    Target(
        "predictions, share of bare inference",
        "training",
        cell("way", "predictions, as for CEP", "share of the bare speed"),
        0.95,
        "",
        True,
    ),
    *(
        Target(f"{way}, {said}", "scaling", cell("way", way, column), limit, "times", True)
        for way, limit in (("two chains", 1.9), ("two workers, one network", 1.7))
        for said, column in (("wall", "against one chain"), ("processor", "by processor time"))
    ),
    Target("a mask, share of an epoch", "pruning", cell("way", "ours", "% of epoch"), 1, "%"),
    Target(
        "a chain's worker, resident",
        "memory",
        lambda rows: max(float(row["resident MiB"]) for row in rows),
        1536,
        "MiB",
    ),
]


def commands(data: str | None) -> dict[str, list[str]]:
    """What runs for each file of figures."""
    source = ["--data", data] if data else []
    made = {
        "startup": ["startup.py"],
        "reducer": ["reducer.py"],
        "billion": ["reducer.py", "--billion"],
        "events": ["events.py"],
        "pruning": ["pruning.py"],
        "training": ["training.py", *source],
        "scaling": ["scaling.py", *source],
        "growth": ["growth.py"],
    }
    return {**made, "memory": ["memory.py", *source]} if data else made


def main() -> None:
    """Run, compare, show."""
    arguments = parser(__doc__)
    arguments.add_argument("--data", default=None)
    arguments.add_argument("--reuse", action="store_true")
    arguments.add_argument("--folder", type=Path, default=Path("benchmarks"))
    options = arguments.parse_args()
    figures: dict[str, Rows] = {}
    for name, (program, *rest) in commands(options.data).items():
        file = options.folder / f"{name}.json"
        if not (options.reuse and file.is_file()):
            command = [sys.executable, str(HERE / program), *rest, "--json", str(file)]
            subprocess.run(command + (["--quick"] if options.quick else []), check=True)
        figures[name] = json.loads(file.read_text())["rows"]
    rows = [t.row(figures[t.program]) for t in TARGETS if t.program in figures]
    show("targets: asked and measured", rows, options.json or options.folder / "targets.json")


if __name__ == "__main__":
    main()
