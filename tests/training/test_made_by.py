"""What made a result is told by who made it: every worker, and every attempt."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from prac.training.made_by import _commit, computed_by, process_made_by, together


def test_a_process_tells_versions_and_machine() -> None:
    told = process_made_by()
    assert told["torch"] == importlib.metadata.version("torch")
    assert told["python"] == platform.python_version()
    assert told["processor"]
    computing = computed_by(torch.device("cpu"), "fp32")
    assert {name: computing[name] for name in told} == told
    assert computing["device"] == "cpu"
    assert computing["precision"] == "fp32"
    assert computing["threads"] == str(torch.get_num_threads())


def test_a_process_that_computes_nothing_imports_no_torch() -> None:
    code = (
        "import sys; from prac.training.made_by import process_made_by; process_made_by()\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_clone_has_a_commit_and_says_where_it_was_changed(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        ran = subprocess.run(
            ["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True, text=True
        )
        return ran.stdout.strip()

    assert _commit(tmp_path) == ""
    git("init", "-q")
    (tmp_path / "file").write_text("1")
    git("add", "file")
    git("commit", "-q", "-m", "first")
    git("tag", "-a", "v1", "-m", "a tag is no commit")
    assert _commit(tmp_path) == git("rev-parse", "HEAD")
    (tmp_path / "file").write_text("2")
    assert _commit(tmp_path) == git("rev-parse", "HEAD") + "-dirty"


@pytest.mark.parametrize(
    ("parts", "answer"),
    [
        ([], {}),
        ([{}], {}),
        ([{"torch": "1"}, {"torch": "1"}], {"torch": "1"}),
        ([{"torch": "1"}, {"torch": "2"}], {"torch": "1 and 2"}),
        # What has been put together is put together again.
        ([{"torch": "1 and 2"}, {"torch": "2"}, {"torch": "3"}], {"torch": "1 and 2 and 3"}),
        # Who computes nothing has no device; of who noted nothing all is open.
        ([{"torch": "1", "device": "cpu"}, {"torch": "1"}], {"torch": "1", "device": "cpu"}),
        ([{}, {"torch": "1"}], {"torch": "not noted and 1"}),
    ],
)
def test_what_made_several_things(parts: list[dict[str, str]], answer: dict[str, str]) -> None:
    assert together(*parts) == answer
