"""How costs grow: with samples, epochs, the network's size and the rounds of a search.

python tests/benchmarks/growth.py [--quick] [--plot FILE]
"""

import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from made_events import epochs_of, sample_ids
from matplotlib.figure import Figure
from measuring import Row, least_seconds, parser, show

from prac.config.recipes import get_recipe
from prac.config.sections import Recipe
from prac.events import EventLog, forgetting_statistics
from prac.events.file import EventFile
from prac.lottery.compose import build_graph
from prac.lottery.graph import Request
from prac.models import build_model
from prac.pruning import Mask, global_magnitude
from prac.pruning.mask import prunable_weights
from prac.storage import Folder


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


def plan_row(rounds: int) -> Row:
    """The graph of three architectures and two comparisons."""
    recipe: Recipe = get_recipe("digits")
    search = dataclasses.replace(recipe.search, rounds=rounds)
    request = Request(
        recipe=recipe.replace(search=search),
        data="d" * 32,
        data_name="digits",
        num_training=1294,
        precision="fp32",
        judge="all",
    )
    graph: Callable[[], object] = lambda: build_graph(request)  # noqa: E731
    return {
        "over": "rounds",
        "size": rounds,
        "what": f"graph of {len(build_graph(request).stages)} stages",
        "ms": least_seconds(graph, 3) * 1e3,
    }


def plot(rows: list[Row], path: Path) -> None:
    """Milliseconds over each size, both logarithmic, with a line of proportion."""
    overs = list(dict.fromkeys(str(row["over"]) for row in rows))
    figure = Figure(figsize=(3.2 * len(overs), 3.2), layout="constrained")
    for axes, over in zip(figure.subplots(1, len(overs)), overs, strict=True):
        shown = sorted((float(r["size"]), float(r["ms"])) for r in rows if r["over"] == over)
        sizes, times = np.array(shown).T
        axes.loglog(sizes, times, "o-", label="measured")
        axes.loglog(sizes, times[-1] * sizes / sizes[-1], ":", color="grey", label="in proportion")
        axes.set(xlabel=over, ylabel="ms" if over == overs[0] else "", title=f"over {over}")
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
    options.plot.parent.mkdir(parents=True, exist_ok=True)
    plot(rows, options.plot)
    show("growth: cost over size, one core", rows, options.json)
    print(f"drawn in {options.plot}; {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
