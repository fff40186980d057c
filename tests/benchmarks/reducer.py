"""Events to statistics: ours against Polars and DuckDB, one core each; and a billion events.

python tests/benchmarks/reducer.py [--quick] [--samples N] [--events N] [--billion]
"""

# ruff: noqa: E402
import os

for name in ("POLARS_MAX_THREADS", "OMP_NUM_THREADS"):
    os.environ[name] = "1"  # before the libraries start their threads

import resource
import tempfile
import time
import tracemalloc
from collections.abc import Callable

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import torch
from made_events import epochs_of, sample_ids
from measuring import Row, least_of, parser, show

from prac.events.file import EventFile
from prac.events.log import EventLog
from prac.events.statistics import count_events, forgetting_statistics
from prac.storage import Folder

SQL = """
WITH marked AS (
    SELECT *, lag(correct) OVER (PARTITION BY sample_id ORDER BY epoch) AND NOT correct AS forget
    FROM events
)
SELECT sample_id, count(*)::INT AS presentations,
    coalesce(sum(forget::INT), 0)::INT AS forgotten,
    min(epoch) FILTER (correct) AS first_learned,
    avg(margin::DOUBLE)::FLOAT AS mean_margin, avg(el2n::DOUBLE)::FLOAT AS mean_el2n
FROM marked GROUP BY sample_id ORDER BY sample_id
"""


def with_polars(frame: pl.DataFrame) -> pa.Table:
    """The same statistics by a window function and a group-by."""
    before = pl.col("correct").shift(1).over("sample_id", order_by="epoch")
    return (
        frame.lazy()
        .with_columns(forget=before.fill_null(False) & ~pl.col("correct"))
        .group_by("sample_id")
        .agg(
            presentations=pl.len().cast(pl.Int32),
            forgotten=pl.col("forget").sum().cast(pl.Int32),
            first_learned=pl.col("epoch").filter("correct").min(),
            mean_margin=pl.col("margin").cast(pl.Float64).mean().cast(pl.Float32),
            mean_el2n=pl.col("el2n").cast(pl.Float64).mean().cast(pl.Float32),
        )
        .sort("sample_id")
        .collect()
        .to_arrow()
    )


def with_duckdb(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """The same statistics in SQL."""
    return connection.execute(SQL).to_arrow_table()


def check_equal(ours: pa.Table, theirs: pa.Table) -> None:
    """Counts are equal; means agree to float32's rounding (they add in another order)."""
    for name in ours.schema.names:
        mine = ours[name].to_numpy().astype(np.float64)
        other = theirs[name].to_numpy().astype(np.float64)
        exact = not name.startswith("mean")
        np.testing.assert_allclose(mine, other, rtol=0 if exact else 1e-6, atol=0, err_msg=name)


def compared(samples: int, epochs: int, repeats: int) -> list[Row]:
    """A row for each way to reduce the same events."""
    ids = sample_ids(samples)
    batches = list(epochs_of(ids, epochs))
    table = pa.Table.from_batches(batches)
    floats = {"margin": pa.float32(), "el2n": pa.float32()}  # neither likes float16; not timed
    wide = table.cast(pa.schema([(f.name, floats.get(f.name, f.type)) for f in table.schema]))
    frame = pl.from_arrow(wide)
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("CREATE TABLE events AS SELECT * FROM wide")
    del wide
    with tempfile.TemporaryDirectory() as folder:
        log = EventLog(Folder(folder), "benchmark")
        for epoch, batch in enumerate(batches):
            events = pa.Table.from_batches([batch])
            log.write(EventFile(0, epoch, 0, 1, 0), events, epoch_rows=samples)

        def from_files() -> pa.Table:
            return forgetting_statistics(log.read(round_index=0, epochs=epochs, sample_ids=ids))

        # The windows take minutes: once is enough to see how far apart they are.
        ways: dict[str, tuple[Callable[[], pa.Table], int]] = {
            "ours, in memory": (lambda: forgetting_statistics(table), repeats),
            "ours, from committed files": (from_files, repeats),
            "Polars, in memory": (lambda: with_polars(frame), 1),
            "DuckDB, in memory": (lambda: with_duckdb(connection), 1),
        }
        seconds, answers = {}, {}
        for name, (way, count) in ways.items():
            seconds[name], answers[name] = least_of(way, count)
            check_equal(answers["ours, in memory"], answers[name])
    first = seconds["ours, in memory"]
    return [
        {
            "way": name,
            "samples": samples,
            "events": samples * epochs,
            "million events/s": samples * epochs / each / 1e6,
            "time / ours in memory": each / first,
        }
        for name, each in seconds.items()
    ]


def out_of_core(samples: int, epochs: int) -> Row:
    """Epochs made one by one and reduced as they come; the time to make them is taken off."""
    ids, making = sample_ids(samples), 0.0

    def stream():
        nonlocal making
        source = epochs_of(ids, epochs)
        while True:
            started = time.process_time()
            batch = next(source, None)
            making += time.process_time() - started
            if batch is None:
                return
            yield batch

    started = time.process_time()
    assert forgetting_statistics(stream()).num_rows == samples
    seconds = time.process_time() - started - making
    return {
        "way": "ours, epochs made on the fly",
        "samples": samples,
        "events": samples * epochs,
        "million events/s": samples * epochs / seconds / 1e6,
        "whole process, peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def bytes_a_sample(samples: int) -> tuple[float, float]:
    """What NumPy holds for the state after two epochs, and its peak until the result is there."""
    batches = list(epochs_of(sample_ids(samples), 2))
    tracemalloc.start()
    counter = count_events(iter(batches))
    state = tracemalloc.get_traced_memory()[0]
    counter.statistics()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return state / samples, peak / samples


def main() -> None:
    """Parse, measure, show."""
    arguments = parser(__doc__)
    arguments.add_argument("--samples", type=int, default=1_281_167)
    arguments.add_argument("--events", type=int, default=100_000_000)
    arguments.add_argument("--billion", action="store_true", help="only the out-of-core run")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    pa.set_cpu_count(1)
    if options.billion:
        epochs = 8 if options.quick else 780
        show("reducer_billion: out of core", [out_of_core(1_281_167, epochs)], options.json)
        return
    samples = 50_000 if options.quick else options.samples
    events = 2_000_000 if options.quick else options.events
    state, peak = bytes_a_sample(samples)
    memory = {"state, bytes a sample": state, "peak, bytes a sample": peak}
    first, *others = compared(samples, max(1, events // samples), repeats=3)
    rows = [{**first, **memory}, *others]
    show("reducer: events to statistics, one core", rows, options.json)


if __name__ == "__main__":
    main()
