"""`prac pipelines` as a user types it, over a folder and over MLflow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.stored import commit_small

from prac.lottery.folder_store import FolderStore
from prac.lottery.kept import FolderKept, Pipeline
from prac.tracking.kept import MlflowKept
from prac.tracking.store import MlflowStore

DENSE, MINE, OTHERS, TICKET, OPEN = ("d" * 32, "a" * 32, "b" * 32, "c" * 32, "e" * 32)
FIRST, SECOND = "1" * 32, "2" * 32


def _pipeline(key: str, began: float, **needs: str) -> Pipeline:
    return Pipeline(
        key=key,
        title=f"pipeline {key[:1]}",
        data="d1",
        data_name="digits",
        began=began,
        needs={needs[name]: f"{name}:conv4:prac" for name in needs},
    )


@pytest.fixture(params=["folder", "mlflow"])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Two pipelines that share a dense run; the second is not finished."""
    if request.param == "folder":
        home = tmp_path / "home"
        root = home / "prac-runs" / "stages"
        kept, store = FolderKept(root), FolderStore(root)
    else:
        home = request.getfixturevalue("home_with_store")
        store = MlflowStore(f"sqlite:///{home / 'mlflow.db'}")
        store.prepare()
        kept = MlflowKept(store)
    kept.note(_pipeline(FIRST, 1e9, dense=DENSE, prune=MINE, ticket=TICKET))
    kept.note(_pipeline(SECOND, 2e9, dense=DENSE, prune=OTHERS, judge=OPEN))
    for key in (DENSE, MINE, OTHERS, TICKET):
        commit_small(store, key, files={"file": b"x" * 1000})
    return home


@pytest.fixture
def home_with_store(
    tmp_path: Path, empty_database_file: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    import shutil

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(empty_database_file, home / "mlflow.db")
    return home


@pytest.fixture
def cli(home: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs `prac pipelines WORDS`: what it printed, or its JSON; of a refusal, its error."""
    from prac.cli import main

    def run(*words: str, status: int = 0) -> Any:
        capsys.readouterr()
        command = [] if words[0] == "gc" else ["pipelines"]
        assert main([*command, *words, "--home", str(home)]) == status
        said = capsys.readouterr()
        if status:
            assert said.err.startswith("error: ")
            assert said.err.count("\n") == 1
            return said.err
        return json.loads(said.out.splitlines()[-1]) if "--json" in words else said.out

    return run


def test_list(cli: Callable[..., Any]) -> None:
    found = cli("list", "--json")["pipelines"]
    assert [(p["key"], p["state"], p["finished"], p["stages"]) for p in found] == [
        (SECOND, "not finished", 2, 3),
        (FIRST, "finished", 3, 3),
    ]
    assert all(2000 < p["bytes"] < 10_000 for p in found)
    assert "pipeline 1" in cli("list")


def test_show(cli: Callable[..., Any]) -> None:
    shown = cli("show", SECOND[:6], "--json")
    by_kind = {k["kind"]: (k["finished"], k["stages"]) for k in shown["kinds"]}
    assert by_kind == {"dense": (1, 1), "prune": (1, 1), "judge": (0, 1)}
    alone = {k["kind"]: k["bytes_alone"] for k in shown["kinds"]}
    assert alone["dense"] == alone["judge"] == 0
    assert alone["prune"] == shown["bytes_alone"] > 1000
    assert "needed by no other" in cli("show", SECOND[:6])


def test_forget(cli: Callable[..., Any]) -> None:
    assert cli("forget", FIRST[:8], "--json")["stages_let_go"] == 1
    assert [p["key"] for p in cli("list", "--json")["pipelines"]] == [SECOND]
    both = cli("list", "--forgotten", "--json")["pipelines"]
    assert {p["state"] for p in both} == {"forgotten", "not finished"}
    assert cli("forget", FIRST[:8], "--tickets", "--json")["stages_let_go"] == 2
    # Nothing is deleted, and nothing of the other's is alone any less.
    assert cli("show", FIRST[:8], "--json")["finished"] == 3
    alone = cli("show", SECOND[:8], "--json")["kinds"][0]
    assert alone["bytes_alone"] == alone["bytes"] > 0


def test_gc_deletes_what_was_forgotten_and_only_when_told(cli: Callable[..., Any]) -> None:
    cli("forget", FIRST[:8])
    words = ("gc", "--older-than", "0", "--json")
    assert cli("gc", "--json")["garbage"] == []  # all is young
    found = cli(*words)
    assert not found["deleted"]
    assert [g["why"] for g in found["garbage"]] == ["only what was forgotten needs it: pipeline 1"]
    assert cli("show", FIRST[:8], "--json")["finished"] == 3
    assert cli(*words, "--delete")["deleted"]
    assert cli(*words)["garbage"] == []
    # Its ticket stays, and so does the note that names it.
    assert cli("show", FIRST[:8], "--json")["finished"] == 2
    assert cli("show", SECOND[:8], "--json")["finished"] == 2
    cli("forget", FIRST[:8], "--tickets")
    assert len(cli(*words, "--delete")["garbage"]) == 2
    assert "not known" in cli("show", FIRST[:8], status=2)


def test_a_name_that_is_not_known(cli: Callable[..., Any]) -> None:
    assert "known: 11111111, 22222222" in cli("forget", "9999", status=2)


def test_no_store_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    from prac.cli import main

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert main(["pipelines", "list", "--home", str(tmp_path)]) == 2
    assert "no MLflow store at" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
