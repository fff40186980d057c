"""Cores, as many as a container's quota keeps busy; services that answer."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from requests.utils import should_bypass_proxies

from prac.machine import available_cpus, knock, reach_loopback_directly


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu.max": "1600000 100000\n"}, 8),
        ({"cpu.max": "what is this"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
    ],
)
def test_a_containers_quota_is_its_number_of_cores(
    files: dict[str, str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert available_cpus(tmp_path) == cores


def test_a_knock_tells_who_listens_from_who_does_not() -> None:
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        port = there.getsockname()[1]
        with pytest.raises(OSError, match="refused"):
            knock("127.0.0.1", port)
        there.listen()
        knock("127.0.0.1", port)


def test_a_proxy_is_asked_for_no_address_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    reach_loopback_directly()
    assert "no_proxy" not in os.environ, "there is nothing to keep from a proxy"
    monkeypatch.setenv("NO_PROXY", "intern.example.com")
    reach_loopback_directly()
    assert os.environ["NO_PROXY"] == "intern.example.com", "a list of exceptions is no proxy"
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "intern.example.com")
    reach_loopback_directly()
    # As MLflow's client decides it.
    direct = ("http://127.0.0.1:5000", "http://localhost:5000", "http://intern.example.com/")
    assert all(should_bypass_proxies(url, None) for url in direct)
    assert not should_bypass_proxies("http://example.com/", None)
    monkeypatch.setenv("no_proxy", "*")
    reach_loopback_directly()
    assert os.environ["no_proxy"] == "*"
