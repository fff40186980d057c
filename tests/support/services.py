"""What a cluster consists of, as processes on loopback: each ends, by process id, with its test."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

REPOSITORY = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

# Ray keeps to loopback. A node that is gone refuses connections, which is noticed within seconds;
# one that is only slow, on a machine that others use too, has half a minute.
RAY = {
    "RAY_AUTH_MODE": "token",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "GLOO_SOCKET_IFNAME": "lo",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "10000",
    "RAY_health_check_failure_threshold": "3",
}
_DROP = ("RAY_ADDRESS", "MLFLOW_TRACKING_URI", "RAY_JOB_CONFIG_JSON_ENV_VAR")


def environment(folder: Path, **more: str) -> dict[str, str]:
    """This process's environment without what leads elsewhere, with Ray's token in `folder`."""
    token = folder / "token"
    if not token.is_file():
        token.write_text("0123456789abcdef" * 4)
        token.chmod(0o600)
    plain = {name: value for name, value in os.environ.items() if name not in _DROP}
    plain["PATH"] = f"{BIN}:{plain['PATH']}"
    return {**plain, **RAY, "RAY_AUTH_TOKEN_PATH": str(token), **more}


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Started:
    """A process with all that it starts, and its log."""

    def __init__(
        self,
        command: list[str | Path],
        log: Path,
        env: Mapping[str, str],
        *,
        cwd: Path | None = None,
        stdin: int = subprocess.DEVNULL,
        user: str | None = None,
    ) -> None:
        self.log = log
        with open(log, "ab") as file:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                cwd=cwd or log.parent,
                env=dict(env),
                stdin=stdin,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
                text=True,
            )
        self._seen: dict[int, psutil.Process] = {}

    @property
    def said(self) -> str:
        """Its log so far."""
        return self.log.read_text(errors="replace")

    def family(self) -> list[psutil.Process]:
        """It and all processes it ever was seen to have that still run."""
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(self.process.pid)
            for process in (root, *root.children(recursive=True)):
                self._seen.setdefault(process.pid, process)
        return [p for p in self._seen.values() if _runs(p)]

    def left(self, patience: float = 60) -> list[psutil.Process]:
        """What still runs of it after a while; none is right."""
        end = time.monotonic() + patience
        while (running := self.family()) and time.monotonic() < end:
            time.sleep(0.2)
        return running

    def until(self, condition: Callable[[], Any], timeout: float = 600) -> Any:
        """Wait for a condition while it runs; what that returned."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if value := condition():
                return value
            assert self.process.poll() is None, f"ended too early\n{self.said}"
            self.family()
            time.sleep(0.05)
        raise AssertionError(f"waited in vain for {timeout} s\n{self.said[-6000:]}")

    def wait(self, timeout: float = 500) -> int:
        """The exit status."""
        end = time.monotonic() + timeout
        while self.process.poll() is None:
            self.family()
            assert time.monotonic() < end, f"still running after {timeout} s\n{self.said[-6000:]}"
            time.sleep(0.1)
        return int(self.process.returncode)

    def end(self) -> None:
        """kill -9 of it and all that it started."""
        for process in self.family():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def answers(url: str) -> bool:
    """Whether a server answers there."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status < 500)
    except urllib.error.HTTPError as error:
        return error.code < 500
    except OSError:
        return False


class Tracker:
    """An MLflow server that can be stopped, continued, killed and started again."""

    def __init__(self, folder: Path, backend: str, artifacts: str, env: Mapping[str, str]) -> None:
        self._folder, self._backend, self._artifacts = folder, backend, artifacts
        self._env = {**environment(folder), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **env}
        self.port = free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.server: Started | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command: list[str | Path] = [BIN / "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--workers", "1", "--serve-artifacts"]
        command += ["--backend-store-uri", self._backend]
        command += ["--artifacts-destination", self._artifacts]
        self.server = Started(command, self._folder / "mlflow.log", self._env)
        self.server.until(lambda: answers(f"{self.uri}/health"))

    def kill(self) -> None:
        """As a crash of its machine."""
        assert self.server is not None
        self.server.end()

    def pause(self, paused: bool) -> None:
        """SIGSTOP or SIGCONT: it accepts connections and answers nothing."""
        assert self.server is not None
        for process in self.server.family():
            process.suspend() if paused else process.resume()


@contextlib.contextmanager
def tracker(
    folder: Path, backend: str, artifacts: str, env: Mapping[str, str] | None = None
) -> Iterator[Tracker]:
    """A running MLflow server whose artifacts go through its proxy."""
    folder.mkdir(parents=True, exist_ok=True)
    server = Tracker(folder, backend, artifacts, env or {})
    try:
        server.start()
        yield server
    finally:
        if server.server is not None:
            server.kill()


def postgres_programs() -> Path | None:
    """Where `initdb` and `postgres` are, of the newest version; None where they aren't."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return None if on_path is None else Path(on_path).resolve().parent


@contextlib.contextmanager
def postgres(programs: Path) -> Iterator[str]:
    """A PostgreSQL server with its own data; the URI of an empty database."""
    # It refuses to run as root, and its user can't look into pytest's folders.
    user = None
    if os.getuid() == 0:
        user = pwd.getpwnam("postgres").pw_name
    with tempfile.TemporaryDirectory(prefix="prac-pg-") as name:
        folder = Path(name)
        if user is not None:
            shutil.chown(folder, user)
        data, port = folder / "data", free_port()
        env = {"PATH": f"{programs}:/usr/bin:/bin", "LC_ALL": "C"}
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "prac", "-A", "trust", "-E", "UTF8", "-N"],
            check=True,
            user=user,
            env=env,
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )
        command: list[str | Path] = [programs / "postgres", "-D", data, "-p", str(port)]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
        server = Started(command, folder / "log", env, cwd=folder, user=user)
        try:
            server.until(lambda: _accepts(port))
            server.until(lambda: "ready to accept connections" in server.said)
            yield f"postgresql+psycopg://prac@127.0.0.1:{port}/postgres"
        finally:
            server.end()


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def object_store(folder: Path, bucket: str) -> Iterator[dict[str, str]]:
    """A server of the S3 protocol with an empty bucket; the variables that lead to it."""
    import boto3

    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    env = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "access",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    command: list[str | Path] = [BIN / "moto_server", "-H", "127.0.0.1", "-p", str(port)]
    server = Started(command, folder / "s3.log", {**environment(folder), **env})
    try:
        server.until(lambda: answers(env["AWS_ENDPOINT_URL"]))
        boto3.client(
            "s3",
            endpoint_url=env["AWS_ENDPOINT_URL"],
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
            region_name=env["AWS_DEFAULT_REGION"],
        ).create_bucket(Bucket=bucket)
        yield env
    finally:
        server.end()


class Head:
    """`ray start --head`, as cluster/README.md says, with ports of its own."""

    def __init__(self, folder: Path, env: Mapping[str, str], *, cpus: int = 2) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._cpus = folder, cpus
        self.env = {**environment(folder), **env}
        self.port, self.dashboard = free_port(), free_port()
        self.env["RAY_API_SERVER_ADDRESS"] = f"http://127.0.0.1:{self.dashboard}"
        self.started: Started | None = None

    def start(self) -> None:
        """Start it, and wait until it takes jobs."""
        command: list[str | Path] = [BIN / "ray", "start", "--head", "--block"]
        command += ["--disable-usage-stats", "--dashboard-host=127.0.0.1"]
        command += [f"--port={self.port}", f"--dashboard-port={self.dashboard}"]
        command += [f"--num-cpus={self._cpus}", "--num-gpus=0"]
        command += [f"--object-store-memory={200 << 20}"]
        for other in ("dashboard-agent-listen", "ray-client-server", "metrics-export"):
            command.append(f"--{other}-port={free_port()}")
        command += ["--min-worker-port=0", "--max-worker-port=0"]
        self.started = Started(command, self._folder / "ray.log", self.env)
        self.started.until(lambda: self.ray("job", "list").returncode == 0)

    def ray(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """A command of Ray's, run to its end."""
        return subprocess.run(
            [BIN / "ray", *words],
            env=self.env,
            cwd=cwd or self._folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def submit(self, clone: Path, *words: str, name: str) -> Started:
        """`ray job submit`, which follows the log until the job ends."""
        command: list[str | Path] = [BIN / "ray", "job", "submit", "--submission-id", name]
        command += ["--working-dir", ".", "--", "python", *words]
        return Started(command, self._folder / f"{name}.log", self.env, cwd=clone)

    def end(self) -> None:
        """kill -9 of the head with all its processes."""
        if self.started is not None:
            self.started.end()


@contextlib.contextmanager
def head(folder: Path, env: Mapping[str, str], *, cpus: int = 2) -> Iterator[Head]:
    """A running head of its own."""
    node = Head(folder, env, cpus=cpus)
    try:
        node.start()
        yield node
    finally:
        node.end()


class Nodes:
    """Several nodes of one Ray cluster."""

    def __init__(self, folder: Path, env: Mapping[str, str], *cpus: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.env = {**environment(folder), **env}
        command: list[str | Path] = [sys.executable, Path(__file__).with_name("nodes.py")]
        command += [str(number) for number in (free_port(), *cpus)]
        self.started = Started(command, folder / "nodes.log", self.env, stdin=subprocess.PIPE)
        self._answers = 0

    def wait(self) -> dict[str, Any]:
        """The next answer."""
        self._answers += 1

        def answer() -> Any:
            lines = [x for x in self.started.said.splitlines() if x.startswith("{")]
            return len(lines) >= self._answers and json.loads(lines[self._answers - 1])

        said: dict[str, Any] = self.started.until(answer)
        return said

    def tell(self, line: str) -> dict[str, Any]:
        """`kill INDEX` or `add CPUS`."""
        assert self.started.process.stdin is not None
        self.started.process.stdin.write(f"{line}\n")
        self.started.process.stdin.flush()
        return self.wait()


@contextlib.contextmanager
def nodes(folder: Path, env: Mapping[str, str], *cpus: int) -> Iterator[Nodes]:
    """A cluster with a node for each number of CPUs, the head first; `env` names its address."""
    cluster = Nodes(folder, env, *cpus)
    try:
        said = cluster.wait()
        cluster.env["RAY_ADDRESS"] = said["address"]
        cluster.raylets = [node["raylet"] for node in said["nodes"]]  # type: ignore[attr-defined]
        yield cluster
    finally:
        cluster.started.end()


def pipeline(folder: Path, env: Mapping[str, str], *words: str, name: str = "run") -> Started:
    """`python pipelines/full.py` in a folder, its output in `NAME.log` there."""
    folder.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [sys.executable, REPOSITORY / "pipelines" / "full.py"]
    command += ["--home", folder, *words]
    return Started(command, folder / f"{name}.log", env, cwd=folder)


def errors(run: Started) -> list[str]:
    """The errors that a run told of, which is all that it said beside its progress."""
    assert "Traceback" not in run.said, run.said
    return [line for line in run.said.splitlines() if line.startswith("error: ")]


def clone(where: Path) -> Path:
    """A clean clone, with the changes that are not committed yet."""
    git = ["git", "-C", str(REPOSITORY)]
    subprocess.run([*git, "clone", "-q", str(REPOSITORY), str(where)], check=True)
    listed = subprocess.run(
        [*git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    for file in filter(None, listed.stdout.split("\0")):
        source, target = REPOSITORY / file, where / file
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        else:
            target.unlink(missing_ok=True)
    return where
