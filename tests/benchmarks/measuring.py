"""What the benchmark programs share: least times, one table, one JSON file with the machine."""

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

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
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load_1_5_15_minutes": [round(load, 1) for load in os.getloadavg()],
        "python": platform.python_version(),
        **versions,
    }


def write_results(path: Path, rows: Sequence[Row], page: str, **told: object) -> None:
    """Write the rows with the machine to a JSON file, and the page beside it, each at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = json.dumps({**told, "machine": machine(), "rows": rows}, indent=1) + "\n"
    for place, text in ((path, whole), (path.with_suffix(".md"), page)):
        place.with_suffix(".tmp").write_text(text)
        place.with_suffix(".tmp").replace(place)


def show(title: str, rows: list[Row], path: Path | None) -> None:
    """Print the rows, as a table where rich is installed, and write them, with the machine, as
    JSON."""
    where = machine()
    told = ", ".join(f"{k} {v}" for k, v in where.items())
    target = path or Path("benchmarks") / f"{Path(title.split(':')[0]).stem}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"title": title, "machine": where, "rows": rows}, indent=1))
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_cell(row.get(name, "")) for name in names] for row in rows]
    if importlib.util.find_spec("rich") is None:  # a machine that has a GPU and torch alone
        print("\n".join([title, *(" | ".join(line) for line in [names, *cells]), told]))
        print(f"written to {target}")
        return
    from rich.table import Table

    from prac.app.console import make_console

    table = Table(title=title, title_justify="left")
    for name in names:
        words = isinstance(next(row[name] for row in rows if name in row), str)
        table.add_column(name, justify="left" if words else "right")
    for line in cells:
        table.add_row(*line)
    console = make_console()
    console.print(table)
    console.print(told, style="dim")
    console.print(f"written to {target}")


def _cell(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
