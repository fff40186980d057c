"""What a store's files may hold after anybody wrote to it: each is refused in a line that names
what is wrong, or is harmless."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import hashlib
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.golden import STORE
from support.results import full_results

from prac.analysis.results import results_from_json, results_to_json
from prac.analysis.trials import SweepResults, TrialRow
from prac.errors import EventLogError, PracError
from prac.events.log import EventLog
from prac.events.schema import EVENT_SCHEMA
from prac.lottery.attempts import _Note
from prac.lottery.folder_store import RUN, FolderStore
from prac.lottery.identity import Identity
from prac.lottery.kept import Pipeline, from_json, to_json
from prac.lottery.outputs import SET, Cost
from prac.lottery.store import MANIFEST, DamagedArtifact, Manifest
from prac.lottery.trials import NetworkTrial
from prac.schema import Key, SchemaError, file_bytes, read
from prac.storage import Folder
from prac.training.checkpoint import Progress

EXAMPLES = settings(
    max_examples=int(os.environ.get("PRAC_EXAMPLES", "100")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([10**400, -1, "", "\x00", "\ud800", "../..", "[red]", "\x1b[2J"])
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


def _manifests() -> dict[str, str]:
    """One of each kind, of a store of an earlier day."""
    texts = [path.read_text() for path in sorted(STORE.glob(f"*/{MANIFEST}"))]
    return {json.loads(text)["kind"]: text for text in texts}


def _results() -> str:
    full = full_results()
    few = {f.name: getattr(full, f.name) for f in dataclasses.fields(full)}
    few = {n: v[:2] if isinstance(v, tuple) else v for n, v in few.items()}
    return results_to_json(type(full)(**few))


SWEEP = SweepResults(
    sweep="s",
    title="t",
    num_training_samples=9,
    rows=(TrialRow(trial=0, label="a=1", architecture="conv4", state="finished", rounds=2),),
    dense_test_accuracy={"conv4": 0.5},
    best=0,
)
PIPELINE = Pipeline(key="k", title="t", data="d", data_name="n", began=1.5, needs={"a": "b"})
RUN_TEXT = next(iter(sorted(STORE.glob(f"*/{RUN}")))).read_text()


def _run_note(text: str) -> str:
    from prac.lottery.folder_store import _Run

    return json.dumps(vars(read(_Run, text)))


def _pipeline(text: str) -> str:
    return to_json(from_json(text, "a note"))


def _progress() -> str:
    end = {"epoch": 0, "steps": 9, "seconds": 1.5, "loss": 2.0, "learning_rate": 0.1}
    end |= {"train_accuracy": 0.5, "validation_accuracy": 0.5}
    told = {"epochs": [end], "best_epoch": 0, "best_accuracy": 0.5, "stopped_early": False}
    return json.dumps(
        {**told, "observers": {"rewind": {"captured": True}}, "made_by": {"torch": "2"}}
    )


def _written(form: Any) -> Callable[[str], str]:
    def again(text: str) -> str:
        found = read(form, text)
        return json.dumps(found if isinstance(found, list) else dataclasses.asdict(found))

    return again


READERS: dict[str, tuple[str, Callable[[str], str]]] = {
    **{
        f"manifest of a {kind}": (
            text,
            lambda t: Manifest.from_bytes(t.encode()).to_bytes().decode(),
        )
        for kind, text in _manifests().items()
    },
    "results": (_results(), lambda t: results_to_json(results_from_json(t))),
    "sweep": (SWEEP.to_json(), lambda t: SweepResults.from_json(t).to_json()),
    "note of a run": (RUN_TEXT, _run_note),
    "note of a pipeline": (to_json(PIPELINE), _pipeline),
    "progress of a training": (_progress(), _written(Progress)),
    "note of an attempt": (
        '{"seconds": 1.5, "joules": null, "energy_source": "no"}',
        _written(_Note),
    ),
    "identity of a store": ('{"name": "n1", "place": "/p", "former": ["n0"]}', _written(Identity)),
    "claim": (f'["{"a" * 32}"]', _written(list[Key])),
    "trial of a network": (
        '{"prunable": 1, "parameters": 2, "no_graph": null}',
        _written(NetworkTrial),
    ),
}
"""By kind: a whole file, and what reads it and writes it again."""


def _places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All paths into a JSON value."""
    if not isinstance(value, dict | list):
        return [at]
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    return [at, *(place for name, each in inner for place in _places(each, (*at, name)))]


def _changed(value: Any, place: tuple[Any, ...], how: str, new: Any) -> Any:
    """The value with something else at one place."""
    if not place:
        return new
    changed = copy.deepcopy(value)
    inside = changed
    for name in place[:-1]:
        inside = inside[name]
    if how == "gone":
        del inside[place[-1]]
    elif how == "more" and isinstance(inside, dict):
        inside["more"] = new
    else:
        inside[place[-1]] = new
    return changed


@pytest.mark.parametrize("kind", READERS)
@EXAMPLES
@given(data=st.data())
def test_any_change_is_refused_by_name_or_harmless(kind: str, data: st.DataObject) -> None:
    text, again = READERS[kind]
    whole = json.loads(text)
    place = data.draw(st.sampled_from(_places(whole)))
    how = data.draw(st.sampled_from(["gone", "more", "other"]))
    new = data.draw(VALUES)
    try:
        changed = json.dumps(_changed(whole, place, how, new))
        after = json.loads(again(changed))
    except (SchemaError, PracError) as error:
        told = str(error)
        assert "\n" not in told
        assert len(told) < 800
        names = [str(name) for name in place] + ["more", "strict JSON", "it: ", "deeply", "finite"]
        assert not place or any(
            name in told for name in [*names, "twice", "digits", "half a character"]
        ), told
        return
    # What is read is what was written, but for fields that are there by default.
    _assert_within(json.loads(changed), after)
    assert _finite(after)


def _assert_within(part: Any, whole: Any) -> None:
    if isinstance(part, dict):
        assert part.keys() <= whole.keys()
        for name, each in part.items():
            _assert_within(each, whole[name])
    elif isinstance(part, list):
        assert len(part) == len(whole)
        for one, other in zip(part, whole, strict=True):
            _assert_within(one, other)
    elif not isinstance(part, str):  # base64 has several spellings
        assert part == whole
    else:
        assert isinstance(whole, str)


def _finite(value: Any) -> bool:
    if isinstance(value, dict | list):
        return all(map(_finite, value.values() if isinstance(value, dict) else value))
    return not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize("kind", READERS)
@EXAMPLES
@given(data=st.data())
def test_any_text_is_refused_or_harmless(kind: str, data: st.DataObject) -> None:
    text, again = READERS[kind]
    at = data.draw(st.integers(0, len(text)))
    cut = data.draw(st.integers(0, 40))
    put = data.draw(
        st.text(max_size=6) | st.sampled_from(["[" * 10_000, '{"a":' * 5_000, "9" * 5_000])
    )
    with contextlib.suppress(SchemaError, PracError):
        again(text[:at] + put + text[at + cut :])


@pytest.mark.parametrize("kind", READERS)
def test_what_was_written_is_read(kind: str) -> None:
    text, again = READERS[kind]
    _assert_within(json.loads(text), json.loads(again(text)))


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a\\b", "a\0", "a/"]
)
def test_a_path_that_leads_out_of_its_folder(path: str) -> None:
    text, again = READERS["manifest of a select"]
    with pytest.raises(SchemaError, match="sha256"):
        again(json.dumps({**json.loads(text), "sha256": {path: "0" * 64}}))


def test_a_field_that_stands_twice() -> None:
    with pytest.raises(SchemaError, match="'steps' stands twice"):
        read(Cost, '{"steps": 1, "samples": 2, "steps": 1}')


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(SchemaError, match="no regular file"):
            file_bytes(path)
    (tmp_path / "six").write_bytes(b"123456")
    with pytest.raises(SchemaError, match=r"has 6 bytes; allowed: 5"):
        file_bytes(tmp_path / "six", 5)


def test_a_file_with_a_right_checksum_and_a_wrong_content_is_made_again(tmp_path: Path) -> None:
    """Whoever may write to a store writes checksums, too."""
    import shutil

    store = FolderStore(Path(shutil.copytree(STORE, tmp_path / "stages")))
    key = next(
        p.parent.name
        for p in STORE.glob("*/prac_set.parquet")
        if "select" in (p.parent / RUN).read_text()
    )
    folder = store.root / key
    table = pa.table({"other": [1]})
    for content in (b"", b"PAR1", _parquet(table)):
        (folder / SET.name).write_bytes(content)
        manifest = json.loads((folder / MANIFEST).read_text())
        manifest["sha256"][SET.name] = hashlib.sha256(content).hexdigest()
        (folder / MANIFEST).write_text(json.dumps(manifest))
        run = json.loads((folder / RUN).read_text())
        run["manifest"] = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
        (folder / RUN).write_text(json.dumps(run))
        found = store.find("", [key])[key]
        with pytest.raises(DamagedArtifact, match=r"prac_set\.parquet can't be read"):
            store.read(found)[SET]


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


# --- event files ---------------------------------------------------------------------------------

HEADERS = ("prac.run", "prac.name", "prac.epoch_rows", "prac.samples", "prac.correct")
SAMPLES = [1, 2, 5, 9]


def _events() -> pa.Table:
    count = len(SAMPLES)
    columns = {
        "round": np.zeros(count, np.int16),
        "epoch": np.zeros(count, np.int16),
        "sample_id": np.array(SAMPLES, np.int32),
        "correct": np.array([True, False, True, True]),
        "margin": np.arange(count).astype(np.float16),
        "el2n": np.arange(count).astype(np.float16),
    }
    return pa.table(columns, schema=EVENT_SCHEMA)


@pytest.fixture(scope="module")
def event_bytes(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """The name and the bytes of a whole event file."""
    from prac.events.file import EventFile

    folder = tmp_path_factory.mktemp("events")
    file = EventFile(0, 0, 0, 1, 0)
    EventLog(Folder(folder), "run").write(file, _events(), epoch_rows=len(SAMPLES))
    return file.name, (folder / file.name).read_bytes()


def _read_events(folder: Path) -> list[pa.RecordBatch] | str:
    """The batches, or what is said."""
    try:
        log = EventLog(Folder(folder), "run")
        return list(log.read(round_index=0, epochs=1, sample_ids=np.array(SAMPLES, np.int32)))
    except EventLogError as error:
        told = str(error)
    assert "\n" not in told
    return told


@EXAMPLES
@given(
    header=st.sampled_from((*HEADERS, "more")),
    value=st.none() | st.text(max_size=8) | st.sampled_from(["-1", "9" * 5000, "٣", "1e3", "4.0"]),
)
def test_any_header_of_events_is_refused_by_name_or_harmless(
    event_bytes: tuple[str, bytes], tmp_path: Path, header: str, value: str | None
) -> None:
    name, data = event_bytes
    table = pq.read_table(pa.BufferReader(data))
    metadata = dict(table.schema.metadata)
    metadata.pop(header.encode(), None)
    if value is not None:
        metadata[header.encode()] = value.encode()
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), sink)
    (tmp_path / name).write_bytes(bytes(sink.getvalue()))
    found = _read_events(tmp_path)
    if isinstance(found, str):
        told = {"prac.run": "another run", "prac.name": "was written as", "prac.correct": "events"}
        short = header.removeprefix("prac.")
        assert short in found or told.get(header, "written") in found, found
        return
    (batch,) = found
    # Of another digest of the ids, the ids themselves are read.
    assert batch["sample_id"].to_pylist() == SAMPLES
    assert (
        (header, value) in {("more", None)}
        or header == "prac.samples"
        or value == "4"
        or (header == "prac.epoch_rows" and str(value).isdecimal() and int(str(value)) == 4)
    )


@EXAMPLES
@given(place=st.floats(0, 1), put=st.binary(max_size=12), cut=st.integers(0, 12))
def test_any_bytes_of_events_are_refused_or_harmless(
    event_bytes: tuple[str, bytes], tmp_path: Path, place: float, put: bytes, cut: int
) -> None:
    name, data = event_bytes
    at = int(place * len(data))
    (tmp_path / name).write_bytes(data[:at] + put + data[at + cut :])
    found = _read_events(tmp_path)
    if not isinstance(found, str):
        whole = _events()
        assert pa.Table.from_batches(found).equals(whole)


@pytest.mark.parametrize("ranks", ["2", "9" * 30])
def test_a_name_that_speaks_of_many_ranks(
    event_bytes: tuple[str, bytes], tmp_path: Path, ranks: str
) -> None:
    (tmp_path / f"round-00-epoch-0000-rank-0-of-{ranks}-attempt-0.parquet").write_bytes(
        event_bytes[1]
    )
    assert f"lacks rank 1 of {ranks}" in str(_read_events(tmp_path))
