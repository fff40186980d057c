"""How costs grow: with samples, epochs, the network's size, the rounds of a search, its stages.

python tests/benchmarks/growth.py [--quick] [--plot FILE]
"""

import contextlib
import dataclasses
import functools
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from made_events import epochs_of, sample_ids
from matplotlib.figure import Figure
from measuring import Row, least_seconds, parser, show

from prac import Mask, global_magnitude
from prac.config.methods import METHODS, PRAC
from prac.config.recipes import get_recipe
from prac.events.file import EventFile
from prac.events.log import EventLog
from prac.events.statistics import forgetting_statistics
from prac.lottery.compose import build_graph
from prac.lottery.folder_store import FolderStore
from prac.lottery.graph import Stage
from prac.lottery.request import Request
from prac.lottery.schedule import Schedule
from prac.lottery.store import Finished, Store
from prac.models.registry import build_model
from prac.pruning.prunable import prunable_weights
from prac.storage import Folder
from prac.tracking.store import MlflowStore, experiment_of


def reduce_row(over: str, samples: int, epochs: int) -> Row:
    """Event files of a round: their size, and the time to statistics."""
    ids = sample_ids(samples)
    with tempfile.TemporaryDirectory() as folder:
        log = EventLog(Folder(folder), "growth")
        for epoch, batch in enumerate(epochs_of(ids, epochs)):
            events = pa.Table.from_batches([batch])
            log.write(EventFile(0, epoch, 0, 1, 0), events, epoch_rows=samples)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())

        def reduce() -> None:
            forgetting_statistics(log.read(round_index=0, epochs=epochs, sample_ids=ids))

        seconds = least_seconds(reduce, 3)
    return {
        "over": over,
        "size": samples if over == "samples" else epochs,
        "what": "reduce a round",
        "ms": seconds * 1e3,
        "MB": size / 1e6,
    }


def mask_row(architecture: str) -> Row:
    """Global magnitude and a distance, once an epoch."""
    model = build_model(architecture, num_classes=10, image_shape=(32, 32, 3), seed=0)
    weights = prunable_weights(model)
    mask = Mask.dense(model)
    seconds = least_seconds(lambda: global_magnitude(weights, mask, 0.2).distance(mask), 3)
    return {
        "over": "weights",
        "size": mask.num_alive,
        "what": f"mask of {architecture}",
        "ms": seconds * 1e3,
        "MB": mask.num_alive / 1e6,
    }


def request(rounds: int, **changes: Any) -> Request:
    """Of the digits, every ticket judged."""
    recipe = get_recipe("digits")
    search = dataclasses.replace(recipe.search, rounds=rounds)
    seeds = changes.pop("seeds", 1)
    return Request(
        recipe=recipe.replace(search=search, **changes),
        data="d" * 32,
        data_name="digits",
        num_training=1294,
        precision="fp32",
        judge="all",
        seeds=seeds,
    )


def plan_row(rounds: int) -> Row:
    """The graph of three architectures and two comparisons."""
    asked = request(rounds)
    graph: Callable[[], object] = lambda: build_graph(asked)  # noqa: E731
    return {
        "over": "rounds",
        "size": rounds,
        "what": f"graph of {len(build_graph(asked).stages)} stages",
        "ms": least_seconds(graph, 3) * 1e3,
    }


def stage_rows(seeds: int) -> list[Row]:
    """Two networks by every method, 18 rounds: planned, handed out, found finished."""
    methods = tuple(name for name in METHODS if name != PRAC.name)
    asked = request(18, architectures=("resnet8", "resnet20s"), compare=methods, seeds=seeds)
    stages = build_graph(asked).stages
    keys = [stage.key for stage in stages.values()]

    def hand_out() -> None:
        schedule = Schedule()
        schedule.add(stages, {})
        schedule.want(stages)
        while (stage := schedule.peek()) is not None:
            schedule.start(stage)
            schedule.finish(stage.name, finished(stage))
        assert not schedule.open

    ways: dict[str, Callable[[], object]] = {
        "stages, planned": lambda: build_graph(asked),
        "stages, handed out": hand_out,
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, store in {
            "stages, found in a folder": in_folder(Path(folder) / "stages", stages),
            "stages, found in MLflow": in_mlflow(Path(folder), stages),
        }.items():
            ways[name] = functools.partial(store.find, asked.data, keys)
            assert len(store.find(asked.data, keys)) == len(keys)
        return [
            {
                "over": over,
                "size": len(stages),
                "what": f"{len(stages)} {over}",
                "ms": least_seconds(way, 3) * 1e3,
            }
            for over, way in ways.items()
        ]


def finished(stage: Stage) -> Finished:
    """As if it were in a store."""
    return Finished(
        key=stage.key, name=stage.name, run_id=stage.key, where="", manifest_sha256="0" * 64
    )


def in_folder(root: Path, stages: Mapping[str, Stage]) -> Store:
    """A store with these stages, nothing in them."""
    for stage in stages.values():
        folder = root / stage.key
        folder.mkdir(parents=True)
        run = {"name": stage.name, "manifest": "0" * 64}
        (folder / "run.json").write_text(json.dumps(run))
    return FolderStore(root)


def in_mlflow(folder: Path, stages: Mapping[str, Stage]) -> Store:
    """The same as runs: straight into MLflow's tables, which by its client takes ten minutes."""
    store = MlflowStore(f"sqlite:///{folder}/mlflow.db")
    store.prepare()
    runs, tags, others = [], [], []
    for stage in stages.values():
        run = stage.key
        told = (stage.name, "FINISHED", 1, "active", f"/tmp/{run}", "prac")
        runs.append((run, *told, int(store.experiment(experiment_of(stage)))))
        tagged = {
            "prac.key": stage.key,
            "prac.data": "d" * 32,
            "prac.stage": stage.name,
            "prac.manifest": "0" * 64,
            "kind": stage.kind,
        }
        tags += [(name, value, run) for name, value in tagged.items()]
        others += [(f"train.{number}", "0.1", run) for number in range(15)]
    columns = "run_uuid, name, status, start_time, lifecycle_stage, artifact_uri, user_id"
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        database.executemany(
            f"INSERT INTO runs ({columns}, experiment_id) VALUES ({'?, ' * 7}?)", runs
        )
        database.executemany("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", tags)
        database.executemany("INSERT INTO params (key, value, run_uuid) VALUES (?, ?, ?)", others)
        database.commit()
    return store


def plot(rows: list[Row], path: Path) -> None:
    """Milliseconds over each size, both logarithmic, with a line of proportion."""
    overs = list(dict.fromkeys(str(row["over"]) for row in rows))
    columns = (len(overs) + 1) // 2
    figure = Figure(figsize=(3.2 * columns, 6.4), layout="constrained")
    grid = figure.subplots(2, columns).flatten()
    for axes in grid[len(overs) :]:
        axes.remove()
    for axes, over in zip(grid, overs, strict=False):
        shown = sorted((float(r["size"]), float(r["ms"])) for r in rows if r["over"] == over)
        sizes, times = np.array(shown).T
        axes.loglog(sizes, times, "o-", label="measured")
        axes.loglog(sizes, times[-1] * sizes / sizes[-1], ":", color="grey", label="in proportion")
        axes.set(xlabel=over.partition(",")[0], ylabel="ms", title=f"over {over}")
        axes.legend(frameon=False)
        axes.minorticks_off()
        if over == "rounds":
            axes.set_xticks(sizes, [f"{size:.0f}" for size in sizes])
    figure.savefig(path, dpi=120)


def main() -> None:
    """Parse, measure, show, draw."""
    arguments = parser(__doc__)
    arguments.add_argument("--plot", type=Path, default=Path("benchmarks/growth.png"))
    options = arguments.parse_args()
    torch.set_num_threads(1)
    pa.set_cpu_count(1)
    started = time.perf_counter()
    few = options.quick
    samples = (10_000, 40_000) if few else (10_000, 40_000, 160_000, 640_000, 1_281_167)
    epochs = (10, 40) if few else (10, 40, 160, 640)
    networks = ["resnet8", "resnet20s"]
    networks += [] if few else ["resnet56s", "resnet110s", "resnet18", "vgg16"]
    rows = [reduce_row("samples", count, 10) for count in samples]
    rows += [reduce_row("epochs", 10_000, count) for count in epochs]
    rows += [mask_row(network) for network in networks]
    rows += [plan_row(rounds) for rounds in (2, 4, 8, 16, 32)]
    for seeds in (1, 2) if few else (1, 4, 16):
        rows += stage_rows(seeds)
    options.plot.parent.mkdir(parents=True, exist_ok=True)
    plot(rows, options.plot)
    show("growth: cost over size, one core", rows, options.json)
    print(f"drawn in {options.plot}; {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
