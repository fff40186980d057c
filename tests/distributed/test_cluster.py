"""A cluster that can't be had ends in one line; one of our own is for this user alone."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest
import ray
from ray.exceptions import AuthenticationError

from prac.distributed.cluster import connected
from prac.distributed.own_session import end_session, private_token, session_folder
from prac.distributed.ray_internals import ask_head, head_address
from prac.errors import ConfigError, OutsideError

FAILURES = [
    (ConnectionError("no head\nat all"), "no head"),
    (TimeoutError(), "TimeoutError"),
    (Exception("The current node timed out during startup."), "start again when it is quiet"),
    (OSError("validate_socket_filename failed: AF_UNIX path"), "AF_UNIX"),
    (PermissionError(13, "Permission denied", "/x/auth_token"), "Permission denied"),
    (AuthenticationError("Token authentication is enabled but no token"), "RAY_AUTH_TOKEN"),
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home, with no word of Ray in the environment."""
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        # Set first: what the code under test sets is then taken back as well.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def service() -> Iterator[str]:
    """A port that takes connections and says nothing."""
    with socket.socket() as there:
        there.bind(("", 0))
        there.listen()
        yield f"127.0.0.1:{there.getsockname()[1]}"


def _init_raises(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def init(**_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(ray, "init", init)


@pytest.mark.parametrize(("error", "said"), FAILURES)
def test_whatever_a_start_raises_is_one_line(
    error: Exception, said: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _init_raises(monkeypatch, error)
    with pytest.raises(OutsideError, match="could be started here") as raised, connected():
        pass
    assert said in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1
    assert raised.value.__cause__ is error


@pytest.mark.parametrize(("error", "said"), FAILURES[:2])
def test_whatever_a_connection_raises_is_one_line(
    error: Exception, said: str, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _init_raises(monkeypatch, error)
    monkeypatch.setattr("prac.distributed.cluster.ask_head", lambda _: None)
    monkeypatch.setenv("RAY_ADDRESS", service)
    with pytest.raises(OutsideError, match=rf"reached at {service}.*{said}"), connected():
        pass


def test_a_dead_address_is_known_in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        port = there.getsockname()[1]
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    _init_raises(monkeypatch, AssertionError("Ray asks for a quarter of an hour"))
    started = time.monotonic()
    with pytest.raises(OutsideError, match=f"answers at .*:{port} .*refused"), connected():
        pass
    assert time.monotonic() - started < 15


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("Failed: Unauthenticated: InvalidAuthToken", "refuses this user's token; RAY_AUTH_TOKEN"),
        ("a line\nno answer in 10 s", "is not the head of a Ray cluster (no answer in 10 s)"),
    ],
)
def test_what_answers_and_is_no_head_is_told(
    answer: str, said: str, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _init_raises(monkeypatch, AssertionError("Ray asks for a quarter of an hour"))
    monkeypatch.setattr("prac.distributed.cluster.ask_head", lambda _: answer)
    monkeypatch.setenv("RAY_ADDRESS", service)
    with pytest.raises(OutsideError) as raised, connected():
        pass
    assert said in str(raised.value)
    assert str(raised.value.__cause__) == answer


def test_a_service_that_says_nothing_is_no_head(service: str) -> None:
    started = time.monotonic()
    said = ask_head(service, seconds=1)
    assert said is not None
    assert said.endswith("no answer in 1 s")
    assert time.monotonic() - started < 60  # most of it to import Ray, on a busy machine


@pytest.mark.parametrize(
    ("address", "where"),
    [("10.1.2.3:6379", ("10.1.2.3", 6379)), ("ray://head:10001", ("head", 10001))],
)
def test_where_ray_will_ask(
    address: str, where: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert head_address(address) == where


def test_stopped_while_ray_starts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    _init_raises(monkeypatch, SystemExit(15))  # what Ray's own handler raises
    with pytest.raises(KeyboardInterrupt), connected():
        pass
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("address", [None, "", "local"])
def test_a_cluster_of_our_own_is_on_loopback_and_its_session_private(
    address: str | None, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if address is not None:
        monkeypatch.setenv("RAY_ADDRESS", address)
    asked: dict[str, Any] = {}

    def init(**options: Any) -> None:
        asked.update(options)
        session = Path(options["_temp_dir"])
        assert stat.S_IMODE(session.parent.stat().st_mode) == 0o700
        (session / "session_x").mkdir(parents=True)
        session.chmod(0o777)  # as Ray does

    loopback: list[bool] = []
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr("prac.distributed.cluster._needed", lambda ours: [])
    monkeypatch.setattr("prac.distributed.cluster.let_be_found", lambda: None)
    monkeypatch.setattr(
        "prac.distributed.cluster.bind_loopback_only", lambda: loopback.append(True)
    )
    with connected() as ours:
        assert ours
        assert asked["address"] == "local"
        assert asked["dashboard_host"] == "127.0.0.1"
        assert loopback == [True]
        session = Path(asked["_temp_dir"])
    assert not session.parent.exists()
    assert os.environ.get("RAY_ADDRESS") == address
    assert "RAY_TMPDIR" not in os.environ


_ASKED_AS_BY_TRAIN = """
import ray
from ray.util.state import get_actor
from prac.distributed.cluster import connected

class Asks:
    def about_itself(self):
        return get_actor(ray.get_runtime_context().get_actor_id(), timeout=10).state

with connected():
    print(ray.get(ray.remote(num_cpus=0)(Asks).remote().about_itself.remote(), timeout=30))
"""


def test_its_processes_find_it_and_no_other() -> None:
    """Where Ray looks by default stands another cluster's address, and it is long gone."""
    with socket.socket() as gone, tempfile.TemporaryDirectory(prefix="r") as shared:
        gone.bind(("127.0.0.1", 0))  # and doesn't listen
        left = Path(shared, "ray", "ray_current_cluster")
        left.parent.mkdir()
        left.write_text(f"127.0.0.1:{gone.getsockname()[1]}")
        asked = subprocess.run(
            [sys.executable, "-c", _ASKED_AS_BY_TRAIN],
            env=os.environ | {"TMPDIR": shared, "RAY_ADDRESS": "local"},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert asked.stdout == "ALIVE\n", asked.stderr


def test_a_long_temporary_folder_gives_way_to_a_short_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(long))
    with session_folder() as session:
        assert Path(session).parent.parent == Path("/tmp")
    monkeypatch.setattr("tempfile.mkdtemp", lambda **_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(ConfigError, match="set TMPDIR"), session_folder():
        pass


def _mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_the_token_can_be_read_by_this_user_alone(home: Path) -> None:
    file = home / ".ray" / "auth_token"
    private_token()
    token = file.read_text()
    assert len(token) == 64
    assert (_mode(file), _mode(file.parent)) == (0o600, 0o700)
    assert [other.name for other in file.parent.iterdir()] == ["auth_token"]
    file.chmod(0o644)  # as Ray makes it
    private_token()
    assert (_mode(file), file.read_text()) == (0o600, token)
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_a_home_that_cannot_be_written_needs_no_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/proc/no home")
    private_token()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


def test_a_token_of_the_users_is_left_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", "/somewhere")
    private_token()
    assert not list(home.iterdir())
    assert "RAY_AUTH_TOKEN" not in os.environ


def test_what_is_left_of_a_session_is_killed_and_nothing_else(tmp_path: Path) -> None:
    with subprocess.Popen(["sh", "-c", "sleep 60", str(tmp_path / "not-ours")]) as other:
        with subprocess.Popen(
            ["sh", "-c", "sleep 61 & echo $!; wait", f"--temp-dir={tmp_path}/r"],
            stdout=subprocess.PIPE,
            text=True,
        ) as part:
            assert part.stdout is not None
            agent = psutil.Process(int(part.stdout.readline()))
            end_session(f"{tmp_path}/r")
            assert part.wait(10) == -signal.SIGKILL
            psutil.wait_procs([agent], timeout=10)
            assert not agent.is_running() or agent.status() == psutil.STATUS_ZOMBIE
        assert other.poll() is None
        other.kill()
