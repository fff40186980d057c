"""A pipeline started as a user starts it: a process of its own, watched, with its store read."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

REPOSITORY = Path(__file__).resolve().parents[2]
LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


class Launch:
    """One run of a pipeline: its output, every process it had; where they listened, if asked."""

    def __init__(
        self,
        home: Path,
        *words: str,
        script: str = "full.py",
        before: tuple[str, ...] = (),
        ports: bool = False,
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self._files = [home / "stdout.txt", home / "stderr.txt"]
        token = home / "token"
        token.write_text("0123456789abcdef" * 4)
        token.chmod(0o600)
        drop = ("RAY_ADDRESS", "MLFLOW_TRACKING_URI", "RAY_JOB_CONFIG_JSON_ENV_VAR")
        environment = {name: value for name, value in os.environ.items() if name not in drop}
        environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            # A shell starts what runs in its background so, and a child would inherit it.
            signal.signal(signal.SIGINT, signal.default_int_handler)
        program = REPOSITORY / "pipelines" / script
        with contextlib.ExitStack() as files:
            stdout, stderr = (files.enter_context(open(file, "wb")) for file in self._files)
            self.process = subprocess.Popen(
                [*before, sys.executable, str(program), "--home", home, *words],
                cwd=home,
                env=environment,
                stdout=stdout,
                stderr=stderr,
                # A group of its own, as a terminal gives: Ctrl-C reaches all of it and no more.
                start_new_session=True,
            )
        # Held from the start, with its time of creation: a number alone may become another's.
        self._driver = psutil.Process(self.process.pid)
        self.seen: set[psutil.Process] = {self._driver}
        self.listened: set[str] = set()
        self._ports = ports
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()

    def _look(self) -> None:
        for look in itertools.count():
            if self.process.poll() is not None:
                return
            with contextlib.suppress(psutil.Error):
                self.seen.update(self._driver.children(recursive=True))
            # To ask all processes of a cluster takes a tenth of a second of a core.
            for process in list(self.seen) if self._ports and look % 4 == 0 else ():
                with contextlib.suppress(psutil.Error):
                    self.listened |= {
                        c.laddr.ip
                        for c in process.net_connections(kind="inet")
                        if c.status == psutil.CONN_LISTEN
                    }
            time.sleep(0.5)

    def processes(self, part_of_title: str) -> list[psutil.Process]:
        """This run's processes with these words in their command line."""
        found = []
        with contextlib.suppress(psutil.Error):
            for process in self._driver.children(recursive=True):
                self.seen.add(process)
                with contextlib.suppress(psutil.Error):
                    if part_of_title in " ".join(process.cmdline()):
                        found.append(process)
        return found

    def until(self, condition: Callable[[], Any], timeout: float = 600) -> Any:
        """Wait for a condition while the run goes on; what it returned."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if value := condition():
                return value
            assert self.process.poll() is None, f"ended too early\n{self.said()}"
            time.sleep(0.02)
        raise AssertionError(f"waited in vain\n{self.said()}")

    def wait(self, timeout: float = 900) -> int:
        """The exit status."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f"still running after {timeout} s\n{self.said()}") from None

    def kill(self) -> None:
        """kill -9 of the driver alone."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def interrupt(self) -> None:
        """Ctrl-C: SIGINT to the run's process group."""
        assert self.process.poll() is None
        os.killpg(self.process.pid, signal.SIGINT)

    def alive(self, patience: float = 30) -> list[str]:
        """What is left of its processes after a while; empty is right."""
        end = time.monotonic() + patience
        while True:
            left = [f"{p.pid} {_title(p)}" for p in list(self.seen) if _runs(p)]
            if not left or time.monotonic() > end:
                return left
            time.sleep(0.2)

    def end(self) -> None:
        """End whatever is left of this run, by process id."""
        self.processes("")
        for process in list(self.seen):
            with contextlib.suppress(psutil.Error):
                process.kill()  # psutil refuses where the number is another's by now
        self.process.wait()

    @property
    def stdout(self) -> str:
        """What it has printed."""
        return self._files[0].read_text()

    @property
    def stderr(self) -> str:
        """What it has complained about."""
        return self._files[1].read_text()

    def said(self) -> str:
        """Both, for a failing test."""
        return f"--- stdout\n{self.stdout}\n--- stderr\n{self.stderr}"

    @property
    def summary(self) -> dict[str, Any]:
        """The last line printed."""
        summary: dict[str, Any] = json.loads(self.stdout.rstrip().splitlines()[-1])
        return summary


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())[:100]
    except psutil.Error:
        return "?"


class Tracked:
    """The runs in an embedded store, read without MLflow."""

    def __init__(self, home: Path) -> None:
        self._file = home / "mlflow.db"

    def runs(self) -> list[dict[str, Any]]:
        """Status, artifact folder and tags of every run, oldest first."""
        with contextlib.closing(sqlite3.connect(f"file:{self._file}?mode=ro", uri=True)) as db:
            rows = db.execute(
                "select run_uuid, status, artifact_uri from runs order by start_time"
            ).fetchall()
            tags: dict[str, dict[str, str]] = {run: {} for run, _, _ in rows}
            for run, key, value in db.execute("select run_uuid, key, value from tags"):
                if run in tags:  # else it began a moment ago
                    tags[run][key] = value
        return [
            {"id": run, "status": status, "folder": Path(where), "tags": tags[run]}
            for run, status, where in rows
        ]

    def finished(self) -> dict[str, dict[str, Any]]:
        """The finished stages that count, by stage name."""
        return {
            run["tags"]["prac.stage"]: run
            for run in self.runs()
            if run["status"] == "FINISHED"
            and "prac.stage" in run["tags"]  # a pipeline's own note has none
            and "prac.revoked" not in run["tags"]
        }

    def revoke(self, *stages: str) -> None:
        """As the store does with damaged runs: they aren't found any more."""
        with contextlib.closing(sqlite3.connect(self._file)) as db:
            for stage in stages:
                run = self.finished()[stage]["id"]
                db.execute(
                    "insert into tags (key, value, run_uuid) values ('prac.revoked', 'a test', ?)",
                    (run,),
                )
            db.commit()


def empty_database(folder: Path) -> Path:
    """An empty MLflow database, made once in this folder: copying one saves a run many seconds."""
    file = folder / "empty-mlflow.db"
    if not file.is_file():
        from mlflow import MlflowClient

        assert MlflowClient(f"sqlite:///{folder / 'new.db'}").search_experiments()
        (folder / "new.db").rename(file)
    return file


@contextlib.contextmanager
def launched(
    home: Path,
    *words: str,
    script: str = "full.py",
    before: tuple[str, ...] = (),
    ports: bool = False,
) -> Iterator[Launch]:
    """A run that leaves nothing behind, however the test ends. before: words that start it;
    ports: where it listens is watched."""
    run = Launch(home, *words, script=script, before=before, ports=ports)
    try:
        yield run
    finally:
        run.end()
