"""A folder's files are there whole or not at all."""

import builtins
import threading
from pathlib import Path

import pytest

from prac.errors import ConfigError, StoreError
from prac.storage import Folder


def test_write_read_names_remove_delete(tmp_path) -> None:
    folder = Folder(tmp_path / "a" / "b")
    assert folder.names() == []
    folder.write("two", b"22")
    folder.write("one", b"1")
    folder.write("one", b"111")
    (tmp_path / "a" / "b" / ".hidden").write_bytes(b"")
    (tmp_path / "a" / "b" / "inner").mkdir()
    assert folder.names() == ["one", "two"]
    assert folder.read("one").to_pybytes() == b"111"
    assert folder.exists("two")
    assert not folder.exists("inner")
    folder.remove("two")
    folder.remove("two")
    assert not folder.exists("two")
    folder.delete()
    folder.delete()
    assert not (tmp_path / "a" / "b").exists()
    assert (tmp_path / "a").is_dir()
    with pytest.raises(OSError, match="one"):
        folder.read("one")


def test_a_child_and_how_it_is_described(tmp_path) -> None:
    folder = Folder(f"{tmp_path}/")
    child = folder.child("round-00", "events")
    child.write("file", b"x")
    assert (tmp_path / "round-00" / "events" / "file").read_bytes() == b"x"
    assert child.describe() == f"{tmp_path}/round-00/events"
    assert child.describe("file") == f"{tmp_path}/round-00/events/file"
    assert child.is_local
    assert child.local_path == tmp_path / "round-00" / "events"


def test_a_file_uri(tmp_path) -> None:
    folder = Folder(f"file://{tmp_path}").child("inner")
    folder.write("name", b"data")
    assert folder.is_local
    assert (tmp_path / "inner" / "name").read_bytes() == b"data"
    assert Folder(tmp_path / "inner").read("name").to_pybytes() == b"data"


def test_a_query_stays_behind_what_is_inside(tmp_path) -> None:
    folder = Folder(f"file://{tmp_path}?x=1")
    child = folder.child("inner", "most")
    child.write("name", b"data")
    assert child.describe("name") == f"file://{tmp_path}/inner/most/name?x=1"
    assert (tmp_path / "inner" / "most" / "name").read_bytes() == b"data"
    child.delete()
    assert [path.name for path in tmp_path.iterdir()] == ["inner"]
    stored = Folder("s3://bucket/prac?region=eu-west-1&endpoint_override=localhost:1").child("key")
    assert stored.local_path.as_posix() == "bucket/prac/key"


def test_a_question_mark_in_a_local_path(tmp_path) -> None:
    Folder(tmp_path / "what?").child("inner").write("name", b"data")
    assert (tmp_path / "what?" / "inner" / "name").read_bytes() == b"data"


def test_a_relative_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Folder("here")
    monkeypatch.chdir("/")
    folder.write("name", b"data")
    assert (tmp_path / "here" / "name").read_bytes() == b"data"


def test_a_file_system_that_is_not_local() -> None:
    folder = Folder("mock:///bucket")
    folder._fs.create_dir("bucket")
    assert not folder.is_local
    folder.write("b", b"1")
    folder.write("b", b"22")
    assert folder.names() == ["b"]
    assert folder.read("b").to_pybytes() == b"22"
    folder.remove("b")
    assert folder.names() == []
    folder.delete()
    assert not folder.exists("b")


class Breaks:
    """A file that takes half of what is written and then has no room."""

    def __init__(self, file) -> None:
        self._file = file

    def __enter__(self) -> "Breaks":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        self._file.write(data[: len(data) // 2])
        self._file.flush()
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("before", [None, b"the old bytes"])
def test_a_write_that_breaks_off_leaves_what_was_there(tmp_path, monkeypatch, before) -> None:
    folder = Folder(tmp_path)
    if before:
        folder.write("name", before)
    real = builtins.open
    monkeypatch.setattr(builtins, "open", lambda *a, **k: Breaks(real(*a, **k)))
    with pytest.raises(StoreError, match=r"name can't be written .*No space left") as caught:
        folder.write("name", b"the new bytes, many of them")
    monkeypatch.undo()
    assert "\n" not in str(caught.value)
    assert folder.names() == (["name"] if before else [])
    if before:
        assert folder.read("name").to_pybytes() == before
    folder.write("name", b"again")
    assert folder.read("name").to_pybytes() == b"again"


def test_a_move_that_fails_leaves_what_was_there(tmp_path, monkeypatch) -> None:
    folder = Folder(tmp_path)
    folder.write("name", b"old")

    def fails(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "replace", fails)
    with pytest.raises(StoreError, match="Input/output error"):
        folder.write("name", b"new")
    assert folder.read("name").to_pybytes() == b"old"
    assert folder.names() == ["name"]


def test_a_reader_never_sees_half(tmp_path) -> None:
    folder = Folder(tmp_path)
    contents = [bytes([value]) * 300_000 for value in range(4)]
    folder.write("name", contents[0])
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            for content in contents:
                folder.write("name", content)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(150):
            assert folder.read("name").to_pybytes() in contents
            assert folder.names() == ["name"]
    finally:
        stop.set()
        writer.join()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"")
    folder = Folder(tmp_path / "file" / "inner")
    with pytest.raises(StoreError, match="file/inner/name can't be written") as caught:
        folder.write("name", b"x")
    assert "\n" not in str(caught.value)
    assert caught.value.exit_status == 1


@pytest.mark.parametrize("where", ["ftp2://host/x", "nonsense://", "file://relative/x"])
def test_an_unknown_scheme_is_refused(where: str) -> None:
    with pytest.raises(ConfigError, match="allowed: a folder, s3://, gs://") as caught:
        Folder(where)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["s3://", "file://", "file:///"])
def test_an_address_of_nothing_is_refused(where) -> None:
    with pytest.raises(ConfigError, match="storage"):
        Folder(where)


def test_a_home_folder_is_one_as_in_a_shell(tmp_path, monkeypatch) -> None:
    """No shell expands `--storage=~/x`: it made a folder of the name `~`."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = Folder("~/kept")
    assert folder.local_path == tmp_path / "kept"
    assert folder.child("a").local_path == tmp_path / "kept" / "a"
    with pytest.raises(ConfigError, match="can't be opened"):
        Folder("~nobody-of-this-name/kept")


def test_an_address_with_one_slash_is_refused() -> None:
    with pytest.raises(ConfigError, match="an address has two slashes"):
        Folder("s3:/bucket/prac")
