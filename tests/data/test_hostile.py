"""Bytes, metadata, labels and settings that somebody forged: an answer, or one line and status 2.

`PRAC_EXAMPLES` is how many are tried of each kind: 100 by default, 1,000 once.
"""

import io
import json
import os
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.pictures import named, pictures, png, table, write

from prac.cli import main

EXAMPLES = int(os.environ.get("PRAC_EXAMPLES", "100"))
SECONDS = 20

# 1,000 of a kind take longer than one test may.
pytestmark = pytest.mark.timeout(max(600, 6 * EXAMPLES))
tried = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


def answers(capsys, *words: str) -> str:
    """The last line of a command that ends in time, with status 0 or with one line and 2."""
    started = time.monotonic()
    status = main([*words])
    assert time.monotonic() - started < SECONDS
    out, err = capsys.readouterr()
    if status == 0:
        return out.splitlines()[-1]
    assert status == 2, (status, err)
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert lines[0].isprintable()
    assert "Traceback" not in err
    return lines[0]


def show(capsys, source: str, *words: str) -> str:
    sheet = Path("sheet.png")
    sheet.unlink(missing_ok=True)
    return answers(capsys, "data", "show", source, "--json", "--sheet", str(sheet), *words)


@pytest.fixture
def parquet(tmp_path, monkeypatch) -> Path:
    """A whole file, small, of two row groups."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "a.parquet"
    features = {"info": {"features": {"label": {"_type": "ClassLabel", "names": ["a", "b"]}}}}
    images = named(table([png(i, 4) for i in range(20)], [0, 1] * 10), features)
    pq.write_table(images, file, row_group_size=10, compression="none")
    return file


@tried
@given(data=st.data())
def test_parquet_bytes(parquet: Path, capsys, data: st.DataObject) -> None:
    """Bytes changed, cut out, doubled, and cut short."""
    whole = parquet.read_bytes()
    content = bytearray(whole)
    place = st.integers(0, len(whole) - 1)
    for _ in range(data.draw(st.integers(1, 8))):
        kind, at = data.draw(st.sampled_from(["set", "cut", "double", "end"])), data.draw(place)
        # The footer is where most of the structure is.
        at = at if data.draw(st.booleans()) else len(content) - 1 - at % 900
        if kind == "set":
            content[at % len(content)] = data.draw(st.integers(0, 255))
        elif kind == "cut" and len(content) > 100:
            del content[at : at + data.draw(st.integers(1, 40))]
        elif kind == "double":
            content[at:at] = content[at : at + 30]
        elif data.draw(st.integers(0, 5)) == 0:
            del content[max(at, 1) :]
    forged = parquet.parent / "forged.parquet"
    forged.write_bytes(bytes(content))
    assert "forged" in show(capsys, f"parquet:{forged}")


@tried
@given(metadata=JSON, deep=st.booleans())
def test_metadata(parquet: Path, capsys, metadata, deep: bool) -> None:
    for text in (
        json.dumps(metadata),
        json.dumps({"info": {"features": {"label": metadata} if deep else metadata}}),
        json.dumps({"info": {"features": {"label": {"names": metadata}}}}),
    ):
        forged = write(parquet.parent / "forged.parquet", named(pq.read_table(parquet), text))
        show(capsys, f"parquet:{forged}")


LABELS = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), min_size=20, max_size=20),
    st.lists(st.integers(-2, 3), min_size=20, max_size=20),
    st.lists(st.text(max_size=4) | st.none(), min_size=20, max_size=20),
    st.lists(
        st.sampled_from(["\x1b[31m", "=1+1", "é", "train", "", "test"]), min_size=20, max_size=20
    ),
    st.lists(st.floats(), min_size=20, max_size=20),
    st.lists(st.booleans() | st.none(), min_size=20, max_size=20),
    st.lists(st.lists(st.integers(0, 2), max_size=2), min_size=20, max_size=20),
    st.lists(st.binary(max_size=3), min_size=20, max_size=20),
)


@tried
@given(labels=LABELS, encode=st.booleans(), name=st.sampled_from(["label", "y", "é\n", ""]))
def test_labels(parquet: Path, capsys, labels, encode: bool, name: str) -> None:
    try:
        column = pa.array(labels)
        column = column.dictionary_encode() if encode else column
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return
    images = pq.read_table(parquet).drop_columns(["label"]).append_column(name, column)
    forged = write(parquet.parent / "forged.parquet", images.replace_schema_metadata(None))
    show(capsys, f"parquet:{forged}")


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    mode = {"GIF": "P", "PPM": "L", "TIFF": "I;16"}.get(kind, "RGB")
    pixels = np.random.default_rng(1).integers(0, 255, (9, 9, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 256)
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(buffer, kind, **({"exif": exif} if kind in ("PNG", "JPEG", "TIFF", "WEBP") else {}))
    return buffer.getvalue()


@tried
@given(
    kind=st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "PPM", "TIFF", "WEBP"]),
    changes=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6),
    short=st.integers(0, 2000),
)
def test_image_bytes(parquet: Path, capsys, kind: str, changes, short: int) -> None:
    content = bytearray(encoded(kind))
    for at, value in changes:
        content[at % len(content)] = value
    images = [
        bytes(content[: len(content) - short % len(content)]),
        *(png(i, 9) for i in range(19)),
    ]
    forged = write(parquet.parent / "forged.parquet", table(images, [0, 1] * 10))
    show(capsys, f"parquet:{forged}", "--set", "data.image_size=9")


VALUES = st.one_of(
    st.text(max_size=12),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["none", "true", "", "../..", "~nobody/x", "/dev/zero", "/proc/self/mem"]),
    st.just("x" * 5000),
)
FIELDS = st.sampled_from(
    [
        "source",
        "test",
        "subset",
        "label_column",
        "image_column",
        "image_size",
        "channels",
        "validation_fraction",
        "test_fraction",
        "split_seed",
        "nope",
    ]
)


@tried
@given(settings=st.lists(st.tuples(FIELDS, VALUES), min_size=1, max_size=3))
def test_settings(parquet: Path, capsys, settings) -> None:
    words = [word for field, value in settings for word in ("--set", f"data.{field}={value}")]
    show(capsys, f"parquet:{parquet}", *words)


SOURCES = st.one_of(
    st.text(max_size=20),
    st.tuples(st.sampled_from(["folder:", "parquet:"]), st.text(max_size=20)).map("".join),
    st.sampled_from(["folder:/dev", "parquet:/dev/null", "parquet:/dev/zero", "folder:~nobody/x"]),
    st.sampled_from(["folder:" + "x" * 5000, "parquet:a\0b", "os:getcwd", "os:nope", "nope:x"]),
)


@tried
@given(source=SOURCES)
def test_sources(tmp_path, monkeypatch, capsys, source: str) -> None:
    monkeypatch.chdir(tmp_path)
    if not source.startswith("-"):
        show(capsys, source)


def test_names_of_folders_that_are_no_utf8(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "data", ["ant", "bee"], 10)
    os.rename(
        tmp_path / "data" / "bee" / "0.png", os.fsencode(tmp_path / "data/bee") + b"/\xff.png"
    )
    assert '"training_rows": 16' in show(capsys, "folder:data")
    os.rename(tmp_path / "data" / "bee", os.fsencode(tmp_path / "data") + b"/b\xe9e")
    assert r"the name of folder 'b\\udce9e' is no UTF-8" in show(capsys, "folder:data")


def test_control_characters_are_escaped(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "data", ["ant", "\x1b[31mred\x1b[0m"], 10)
    assert main(["data", "show", "folder:data"]) == 0
    assert "\x1b" not in capsys.readouterr().out.replace("\x1b[0m", "").replace("\x1b[1m", "")
    assert main(["data", "show", "folder:\x1b[31mnope"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_nothing_is_left_behind(parquet: Path, capsys) -> None:
    before = sorted(parquet.parent.iterdir())
    parquet.write_bytes(parquet.read_bytes()[:-200])
    assert "can't be read" in show(capsys, f"parquet:{parquet}")
    assert sorted(parquet.parent.iterdir()) == before
    assert main(["data", "show", "digits", "--sheet", "/proc/x/y.png"]) == 2
    assert "can't be written" in capsys.readouterr().err
