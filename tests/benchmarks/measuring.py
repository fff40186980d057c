"""What the benchmark programs share: least times, one table, one JSON file with the machine."""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import psutil
from rich.table import Table

from prac.app.console import make_console

Row = Mapping[str, object]
T = TypeVar("T")


def parser(description: str) -> argparse.ArgumentParser:
    """Arguments of every program."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    made.add_argument("--json", type=Path, default=None, help="write the figures here")
    return made


def least_seconds(function: Callable[[], object], repeats: int = 3) -> float:
    """The least processor time of this process in several calls, in seconds.

    Not wall time: other programs on the machine would be measured too. With one thread the two are
    the same on an idle machine.
    """
    return least_of(function, repeats)[0]


def least_of(function: Callable[[], T], repeats: int = 3) -> tuple[float, T]:
    """The same, and what the last call returned."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        answer = function()
        times.append(time.process_time() - started)
    return min(times), answer


def machine() -> dict[str, object]:
    """The machine, its load and the versions."""
    versions = {
        name: importlib.metadata.version(name)
        for name in ("torch", "numpy", "pyarrow", "polars", "duckdb")
        if importlib.util.find_spec(name) is not None
    }
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    return {
        "processor": model,
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "load_1_5_15_minutes": [round(load, 1) for load in os.getloadavg()],
        "python": platform.python_version(),
        **versions,
    }


def show(title: str, rows: list[Row], path: Path | None) -> None:
    """Print the rows as a table and write them, with the machine, as JSON."""
    table = Table(title=title, title_justify="left")
    names = list(dict.fromkeys(name for row in rows for name in row))
    for name in names:
        words = isinstance(next(row[name] for row in rows if name in row), str)
        table.add_column(name, justify="left" if words else "right")
    for row in rows:
        values = (row.get(name, "") for name in names)
        table.add_row(*(f"{v:,.4g}" if isinstance(v, float) else str(v) for v in values))
    console = make_console()
    console.print(table)
    where = machine()
    console.print(", ".join(f"{k} {v}" for k, v in where.items()), style="dim")
    target = path or Path("benchmarks") / f"{Path(title.split(':')[0]).stem}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"title": title, "machine": where, "rows": rows}, indent=1))
    console.print(f"written to {target}")
