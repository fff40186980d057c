"""Scratch folders: found when their process is gone for sure, and only then."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from prac.cli import main
from prac.distributed.own_session import session_folder
from prac.scratch import abandoned_folders, scratch_folder

PROGRAM = (
    "import sys, time\n"
    "from pathlib import Path\n"
    "from prac.scratch import scratch_folder\n"
    "folder = scratch_folder()\n"
    "Path(folder.name, 'file').write_bytes(b'x' * 1000)\n"
    "print(folder.name, flush=True)\n"
    "time.sleep(600)\n"
)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where scratch folders are made, in this test and in what it starts."""
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setattr("prac.scratch.SHORT_PLACES", ())  # what others left there is no part of it
    return place


def test_that_of_a_killed_process_is_found_and_that_of_a_live_one_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            folder = Path(process.stdout.readline().decode().strip())
            # What psutil knows of it is in its name.
            began = psutil.Process(process.pid).create_time() - psutil.boot_time()
            ticks = int(folder.name.split(".")[3].partition("-")[0])
            assert ticks / os.sysconf("SC_CLK_TCK") == pytest.approx(began, abs=1.5)
            assert folder.is_dir()
            assert abandoned_folders() == []
        finally:
            process.send_signal(signal.SIGKILL)
    with scratch_folder() as mine:
        assert abandoned_folders() == [folder]
        (tmp_path / "prac-runs" / "stages").mkdir(parents=True)
        for words in ((), ("--delete",)):
            assert main(["gc", "--home", str(tmp_path), "--json", *words]) == 0
            (found,) = json.loads(capsys.readouterr().out)["garbage"]
            assert (found["kind"], found["where"], found["size"]) == ("scratch", str(folder), 1000)
            assert folder.exists() is not bool(words)
        assert Path(mine).is_dir()
    assert not Path(mine).exists()


def test_what_is_not_sure_stays(place: Path, tmp_path: Path) -> None:
    with scratch_folder() as mine:
        name = Path(mine).name
    boot, seen, process, rest = name.removeprefix("prac-").split(".")
    start, _, end = rest.partition("-")
    gone = f"prac-{boot}.{seen}.{process}.{int(start) + 1}-{end}"
    for other in (
        f"prac-{'0' * 8}.{seen}.{process}.1-{end}",  # of another boot, or machine
        f"prac-{boot}.{int(seen) + 1}.{process}.1-{end}",  # of another container
        "prac-abcdefgh",  # of an earlier version, or somebody else's
        f"prac-{boot}.{seen}.{process}-{end}",
    ):
        (place / other).mkdir()
    (tmp_path / "elsewhere").mkdir()
    (place / f"{gone}l").symlink_to(tmp_path / "elsewhere")
    (place / f"{gone}f").write_text("a file")
    (place / gone).mkdir()
    # The number is this process's; it began at another time.
    assert abandoned_folders() == [place / gone]


def test_where_the_system_does_not_tell_none_is_found(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import prac.scratch

    with scratch_folder() as mine:
        name = Path(mine).name
    (place / name).mkdir()
    monkeypatch.setattr(prac.scratch, "_home", lambda: "")
    assert abandoned_folders() == []
    with scratch_folder() as unnamed:
        assert Path(unnamed).name.count(".") == 0


SESSION = (
    "import time\n"
    "from pathlib import Path\n"
    "from prac.distributed.own_session import session_folder\n"
    "with session_folder() as session:\n"
    "    Path(session, 'session_x').mkdir(parents=True)\n"
    "    print(session, flush=True)\n"
    "    time.sleep(600)\n"
)


@pytest.fixture
def short() -> Iterator[Path]:
    """A temporary folder that leaves room for Ray's sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t") as place:
        yield Path(place)


def test_the_session_of_a_killed_run_goes_at_the_next_start(
    short: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TMPDIR", str(short))
    monkeypatch.setattr(tempfile, "tempdir", str(short))
    with subprocess.Popen([sys.executable, "-c", SESSION], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            left = Path(process.stdout.readline().decode().strip()).parent
            assert left.parent == short
            with session_folder() as session:
                assert left.is_dir(), "it is at work"
                assert abandoned_folders() == []
            assert not Path(session).parent.exists()
        finally:
            process.send_signal(signal.SIGKILL)
    strangers = short / "prac-abcdefgh" / "r"  # without a word of whose it is
    strangers.mkdir(parents=True)
    assert abandoned_folders() == [left]
    (tmp_path / "prac-runs" / "stages").mkdir(parents=True)
    assert main(["gc", "--home", str(tmp_path), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["garbage"]
    assert found["where"] == str(left)
    with session_folder():
        assert not left.exists()
    assert strangers.is_dir()
