"""Event files: bytes an event, and milliseconds to write and to read an epoch.

python tests/benchmarks/events.py [--quick]
"""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from made_events import epochs_of, sample_ids
from measuring import Row, least_seconds, parser, show

from prac.events.file import EventFile
from prac.events.log import EventLog
from prac.storage import Folder

EPOCHS = 12


def without(events: pa.Table, names: tuple[str, ...]) -> pa.Table:
    """The events with zeros in these columns."""
    for name in names:
        zeros = pa.array(np.zeros(events.num_rows, np.float16))
        events = events.set_column(events.schema.get_field_index(name), events.field(name), zeros)
    return events


def measured(what: str, samples: int, zeroed: tuple[str, ...]) -> Row:
    """The mean size and the least times of the last epoch, when most samples are learned."""
    ids = sample_ids(samples)
    *_, batch = epochs_of(ids, EPOCHS)
    events = without(pa.Table.from_batches([batch]), zeroed)
    with tempfile.TemporaryDirectory() as folder:
        log = EventLog(Folder(folder), "benchmark")
        last = range(EPOCHS - 1, EPOCHS)
        file = EventFile(0, last.start, 0, 1, 0)
        writing = least_seconds(lambda: log.write(file, events, epoch_rows=samples))
        reading = least_seconds(lambda: list(log.read(round_index=0, epochs=last, sample_ids=ids)))
        size = (Path(folder) / file.name).stat().st_size
    return {
        "columns": what,
        "samples": samples,
        "bytes an event": size / samples,
        "write ms": writing * 1e3,
        "read ms": reading * 1e3,
        "read ns an event": reading / samples * 1e9,
    }


def main() -> None:
    """Parse, measure, show."""
    options = parser(__doc__).parse_args()
    pa.set_cpu_count(1)
    sizes = [45_000] if options.quick else [45_000, 1_281_167]
    kinds = {"margin and el2n": (), "margin": ("el2n",), "neither": ("margin", "el2n")}
    rows = [measured(what, size, zeroed) for size in sizes for what, zeroed in kinds.items()]
    show("events: one file an epoch, one core", rows, options.json)


if __name__ == "__main__":
    main()
