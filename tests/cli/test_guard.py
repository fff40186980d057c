"""However a command ends, it is one line and a status; the whole text is in a file."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from prac.cli.guard import guarded
from prac.errors import ConfigError, OutsideError, PracError


def _raises(error: BaseException, cause: BaseException | None = None) -> Callable[[], NoReturn]:
    def action() -> NoReturn:
        raise error from cause

    return action


def _kept(line: str) -> Path:
    found = re.fullmatch(r"error: .* \(the whole text: (.*)\)\n", line)
    assert found, line
    return Path(found[1])


@pytest.fixture(autouse=True)
def _scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_a_job_that_was_sent_without_a_part_of_prac_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Ray leaves out what .gitignore names: `data/` takes prac/data."""
    assert (
        guarded(_raises(ModuleNotFoundError("No module named 'prac.data'", name="prac.data"))) == 1
    )
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: this copy of the project lacks prac/data; a Ray job is sent")
    assert "/data/" in line
    # Another's module is none of that.
    guarded(_raises(ModuleNotFoundError("No module named 'practice'", name="practice")))
    assert "lacks" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "a file"), "[Errno 28] No space left on device"),
        (RuntimeError("what\nhappened"), "RuntimeError: what"),
        (MemoryError(), "MemoryError"),
        (OutsideError("the service failed; start it"), "the service failed; start it"),
    ],
)
def test_what_nobody_foresaw_is_a_line_that_names_the_file_with_the_rest(
    error: Exception, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cause = ConnectionError("at postgresql://me:secret@there/db\nand more")
    assert guarded(_raises(error, cause)) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    file = _kept(err)
    text = file.read_text()
    assert "Traceback" in text
    assert "and more" in text
    assert "secret" not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("error", [ConfigError("not allowed"), PracError("failed")])
def test_what_is_ours_is_told_whole_and_leaves_no_file(
    error: PracError, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(_raises(error, OSError("a cause"))) == error.exit_status
    assert capsys.readouterr().err == f"error: {error}\n"
    assert not list(tmp_path.iterdir())


def test_without_a_temporary_folder_the_text_goes_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "no such folder"))
    monkeypatch.chdir(tmp_path)
    assert guarded(_raises(ValueError("x"))) == 1
    assert _kept(capsys.readouterr().err).parent == tmp_path


def _python(code: str, **environ: str) -> subprocess.Popen[str]:
    lines = f"import os, signal, sys\nfrom prac.cli.guard import guarded\n{code}"
    return subprocess.Popen(
        [sys.executable, "-c", lines],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_a_reader_that_goes_away_ends_it_as_sigpipe_would(size: int) -> None:
    code = f"sys.stdin.read(); sys.exit(guarded(lambda: print('x' * {size}, flush={size > 10})))"
    lines = f"import sys\nfrom prac.cli.guard import guarded\n{code}"
    with subprocess.Popen(
        [sys.executable, "-c", lines],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        process.stdin.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 141


def test_a_broken_pipe_of_another_kind_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(_raises(BrokenPipeError(32, "Broken pipe"))) == 1
    _kept(capsys.readouterr().err)


def test_a_path_that_nobody_named_is_no_mistake_of_the_user(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert guarded(_raises(NotADirectoryError(20, "Not a directory"))) == 1
    _kept(capsys.readouterr().err)


def test_what_an_encoding_lacks_is_told_by_its_number() -> None:
    code = "sys.exit(guarded(lambda: print('81.2 \\u00b1 0.3 \\u2014 done')))"
    process = _python(code, PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "81.2 \\xb1 0.3 \\u2014 done\n", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_stops_it_in_a_line(number: signal.Signals) -> None:
    code = f"""
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # tests may run under nohup themselves
sys.exit(guarded(lambda: (os.kill(os.getpid(), {int(number)}), signal.pause())))"""
    process = _python(code)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.startswith("error: interrupted; finished stages are kept")
    assert len(err.splitlines()) == 1


def test_under_nohup_it_goes_on_when_its_terminal_hangs_up() -> None:
    code = """
signal.signal(signal.SIGHUP, signal.SIG_IGN)
sys.exit(guarded(lambda: os.kill(os.getpid(), signal.SIGHUP)))"""
    process = _python(code)
    assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 0


def test_python_m_prac_is_prac() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prac", "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert done.stdout.startswith("usage: prac ")


def test_without_room_anywhere_nothing_is_left_and_the_line_says_so(tmp_path: Path) -> None:
    code = f"""
import resource, tempfile
tempfile.tempdir = {str(tmp_path)!r}
os.chdir({str(tmp_path)!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
def action(): raise OSError(28, "No space left on device")
sys.exit(guarded(action))"""
    process = _python(code, HOME=str(tmp_path))
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    told = "[Errno 28] No space left on device (no folder has room for the whole text)"
    assert err == f"error: {told}\n"
    assert not list(tmp_path.iterdir())


def test_a_working_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = f"cd {gone} && rmdir {gone} && exec {sys.executable} -m prac plan"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("error: the working folder is gone: ")
    assert len(done.stderr.splitlines()) == 1
