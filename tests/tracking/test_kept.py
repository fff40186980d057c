"""What pipelines need of a store, in both stores: noted, found again, forgotten, kept anew."""

from __future__ import annotations

import dataclasses
import json
import os
import uuid
from pathlib import Path

import pytest
from support.stored import commit_small

from prac.errors import ConfigError, StoreError
from prac.lottery.compose import build_graph
from prac.lottery.folder_store import FolderStore
from prac.lottery.kept import (
    FolderKept,
    Kept,
    Pipeline,
    find_pipeline,
    from_json,
    pipeline_of,
    to_json,
)
from prac.lottery.store import Store, StoreAway
from prac.tracking.connection import KEPT
from prac.tracking.kept import MlflowKept
from prac.tracking.store import MlflowStore

A, B, C = "a" * 32, "b" * 32, "c" * 32


def _pipeline(key: str = A, *needs: str, **changes: object) -> Pipeline:
    pipeline = Pipeline(
        key=key,
        title=f"digits: conv4; {key[:4]}",
        data="d1",
        data_name="digits",
        began=1000.0,
        needs={need: f"prune:conv4:prac:{need}" for need in needs},
    )
    return dataclasses.replace(pipeline, **changes)


@pytest.fixture(params=["folder", "sqlite", "server"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    """Of an empty store."""
    return _opened(request, tmp_path)[0]


def _opened(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Kept, Store]:
    if request.param == "folder":
        return FolderKept(tmp_path / "stages"), FolderStore(tmp_path / "stages")
    if request.param == "sqlite":
        store: MlflowStore = request.getfixturevalue("store")
    else:
        store = MlflowStore(request.getfixturevalue("server"))
        store.prepare()
    return MlflowKept(store), store


def _of(kept: Kept, *keys: str) -> list[Pipeline]:
    """The server is shared by tests."""
    return [pipeline for pipeline in kept.pipelines() if pipeline.key in keys]


def test_a_store_lies_where_no_text_can_say(tmp_path: Path) -> None:
    """Linux takes any bytes for a name."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    first = FolderKept(folder / "stages").identity(settle=True)
    assert first.name
    assert FolderKept(folder / "stages").identity(settle=True) == first
    folder.rename(tmp_path / "moved")
    moved = FolderKept(tmp_path / "moved" / "stages").identity()
    assert (moved.name, moved.former) == ("", (first.name,))


def test_noted_once_and_found_again(kept: Kept) -> None:
    first = _pipeline(uuid.uuid4().hex, "k1", "k2")
    later = _pipeline(uuid.uuid4().hex, "k1", began=2000.0)
    assert _of(kept, first.key, later.key) == []
    for pipeline in (first, later, dataclasses.replace(first, began=3000.0)):
        kept.note(pipeline)
    assert _of(kept, first.key, later.key) == [later, first]


def test_what_trials_need_one_by_one_is_one(kept: Kept) -> None:
    sweep = _pipeline(uuid.uuid4().hex, "k1", "k2")
    kept.note(sweep)
    kept.note(dataclasses.replace(sweep, began=1001.0, needs={"k2": "two", "k3": "three"}))
    (found,) = _of(kept, sweep.key)
    assert found.needs.keys() == {"k1", "k2", "k3"}
    assert found.began == 1000.0


def test_forgotten_until_it_is_run_again(kept: Kept) -> None:
    pipeline, other = _pipeline(uuid.uuid4().hex, "k1"), _pipeline(uuid.uuid4().hex, "k1")
    kept.note(pipeline)
    kept.note(other)
    kept.forget(pipeline.key[:8], "tickets")
    assert {p.key: p.forgotten for p in _of(kept, pipeline.key, other.key)} == {
        pipeline.key: "tickets",
        other.key: "",
    }
    kept.note(pipeline)
    assert [p.forgotten for p in _of(kept, pipeline.key)] == [""]


@pytest.mark.parametrize("request_", ["folder", "sqlite"])
def test_what_is_finished_and_where(
    request_: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if request_ == "folder":
        store: Store = FolderStore(tmp_path / "stages")
        kept: Kept = FolderKept(tmp_path / "stages")
    else:
        store = request.getfixturevalue("store")
        kept = MlflowKept(request.getfixturevalue("store"))
    commit_small(store, A)
    pipeline = _pipeline(C, A, B)
    there = kept.there(pipeline)
    assert there.keys() == {A}
    assert there[A] is not None
    assert (there[A] / "a.bin").read_bytes() == b"hello"


def test_a_report_without_a_note_is_a_pipeline_whose_needs_are_not_known(
    store: MlflowStore,
) -> None:
    commit_small(store, A, kind="report")
    kept = MlflowKept(store)
    (found,) = kept.pipelines()
    assert (found.key, found.data, found.needs) == (A, "d1", {})
    # Looking makes nothing.
    assert store.client.get_experiment_by_name(KEPT) is None
    kept.forget(A, "stages")
    assert kept.pipelines() == []


def test_a_note_that_can_not_be_read_is_an_error_and_not_a_pipeline_less(tmp_path: Path) -> None:
    kept = FolderKept(tmp_path)
    kept.note(_pipeline(A, "k1"))
    file = tmp_path / "kept" / f"{A}.json"
    whole = to_json(_pipeline(A, "k1"))
    for damaged in (whole[:-9], "[]", whole.replace('"needs": {', '"needs": [{'), "{}"):
        file.write_text(damaged)
        with pytest.raises(StoreError, match="can't be read"):
            kept.pipelines()


def test_notes_have_a_format_and_those_of_before_are_read(kept: Kept) -> None:
    pipeline = _pipeline(uuid.uuid4().hex, "k1", "k2")
    values = json.loads(to_json(pipeline))
    assert values.pop("format") == 1
    before = json.dumps(values).encode()
    assert from_json(before, "a note") == pipeline
    with pytest.raises(
        StoreError, match="a note has format 2, which a later version of prac wrote"
    ):
        from_json(json.dumps({**values, "format": 2}).encode(), "a note")
    if isinstance(kept, FolderKept):
        kept.note(pipeline)
        kept.file(pipeline.key).write_bytes(before)
        assert kept.pipelines() == [pipeline]


def test_one_note_that_can_not_be_read_hides_no_other(kept: Kept) -> None:
    good, bad = (_pipeline(uuid.uuid4().hex, "k1", began=n) for n in (1.0, 2.0))
    kept.note(good)
    if isinstance(kept, FolderKept):
        kept.file(bad.key).write_text("{")
    else:
        assert isinstance(kept, MlflowKept)
        client = kept._store.client
        tags = {"prac.pipeline": bad.key, "prac.data": "d1"}
        run = client.create_run(kept._store.experiment(KEPT), tags=tags)
        client.log_text(run.info.run_id, "{", "pipeline.json")
        client.set_terminated(run.info.run_id)
    refused: list[str] = []
    assert good in kept.pipelines(refused)
    assert len(refused) == 1
    assert "can't be read" in refused[0]
    # Another pipeline begins, and one is forgotten; what may be deleted is not decided.
    kept.note(_pipeline(uuid.uuid4().hex, "k1"))
    kept.forget(good.key, "stages")
    with pytest.raises(StoreError, match="can't be read"):
        kept.pipelines()
    if isinstance(kept, MlflowKept):  # the server is shared by tests
        kept._store.client.delete_run(run.info.run_id)


def test_a_note_that_is_away_is_an_error(store: MlflowStore, tmp_path: Path) -> None:
    MlflowKept(store).note(_pipeline(A, "k1"))
    (tmp_path / "mlruns").rename(tmp_path / "elsewhere")
    with pytest.raises(StoreAway, match="are away"):
        MlflowKept(store).pipelines()


def test_names_that_are_not_known_or_not_enough() -> None:
    pipelines = [_pipeline("abcd" + "0" * 28), _pipeline("abcd" + "1" * 28)]
    with pytest.raises(ConfigError, match=r"'ffff' is not known; known: abcd0000, abcd1111"):
        find_pipeline(pipelines, "ffff")
    with pytest.raises(ConfigError, match="one of several"):
        find_pipeline(pipelines, "abcd")
    with pytest.raises(ConfigError, match="not known"):
        find_pipeline(pipelines, "abc")
    assert find_pipeline(pipelines, "abcd1") == pipelines[1]


def test_a_pipeline_needs_all_stages_of_its_graph_and_a_part_only_its_own(request_for) -> None:
    request = request_for(architectures=("conv4",), compare=(), rounds=2)
    graph = build_graph(request)
    whole = pipeline_of(request, graph, 5.0)
    assert whole.needs == {stage.key: stage.name for stage in graph.stages.values()}
    assert whole.key == graph.stages["report"].key
    part = pipeline_of(request, graph.only(["dense"]), 5.0)
    assert list(part.needs.values()) == ["dense:conv4:prac"]
    assert part.key not in whole.needs
