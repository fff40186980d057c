"""What forgotten pipelines alone need goes; what others need or claim stays."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from support.stored import commit_small

from prac.app.folder_garbage import delete_in_folder, find_in_folder
from prac.errors import StoreError
from prac.lottery.claims import claim
from prac.lottery.folder_store import FolderStore
from prac.lottery.kept import FolderKept, Kept, Pipeline, let_go, to_json, unlisted
from prac.lottery.outputs import Facts
from prac.lottery.store import Finished
from prac.storage import Folder
from prac.tracking.garbage import delete_garbage, find_garbage
from prac.tracking.kept import MlflowKept
from prac.tracking.leftovers import Garbage
from prac.tracking.registry import list_tickets
from prac.tracking.store import MlflowStore

DENSE, MINE, OTHERS, OPEN = "d" * 32, "a" * 32, "b" * 32, "c" * 32
FIRST, SECOND = "1" * 32, "2" * 32
NAMES = {DENSE: "dense:conv4:prac", OPEN: "round:conv4:prac:1"}


def _pipeline(key: str, *needs: str, **names: str) -> Pipeline:
    return Pipeline(
        key=key,
        title=f"pipeline {key[0]}",
        data="d1",
        data_name="digits",
        began=1.0,
        needs={need: NAMES.get(need, f"round:conv4:prac:{need[0]}") for need in needs} | names,
    )


PIPELINES = (_pipeline(FIRST, DENSE, MINE, OPEN), _pipeline(SECOND, DENSE, OTHERS))


class Both:
    """A store of either sort with its storage, in a folder of its own."""

    def __init__(self, home: Path, sort: str, database: Path, storage: Path | None = None) -> None:
        self.root = home / "prac-runs" / "stages"
        self.storage = Folder(storage or home / "prac-runs")
        home.mkdir(parents=True, exist_ok=True)
        if sort == "folder":
            self.store: FolderStore | MlflowStore = FolderStore(self.root)
            self.kept: Kept = FolderKept(self.root)
        else:
            if not (home / "mlflow.db").is_file():
                shutil.copy(database, home / "mlflow.db")
            mlflow = MlflowStore(f"sqlite:///{home / 'mlflow.db'}")
            mlflow.prepare()
            self.store, self.kept = mlflow, MlflowKept(mlflow)

    def begin(self, *pipelines: Pipeline) -> None:
        for pipeline in pipelines:
            self.kept.note(pipeline)
            claim(self.storage, self.kept.identity(settle=True), pipeline)

    def work(self, *keys: str) -> None:
        for key in keys:
            self.storage.child(key, "events").write("events.parquet", b"events")

    def commit(self, *keys: str) -> None:
        for key in keys:
            commit_small(self.store, key, kind="dense" if key == DENSE else "prune")

    def finished(self) -> set[str]:
        return set(self.store.find("d1", (DENSE, MINE, OTHERS, OPEN)))

    def find(self, *, unlisted: bool = False, age: float = -1) -> list[Garbage]:
        how: dict[str, Any] = {"min_age_seconds": age, "also_unlisted": unlisted}
        if isinstance(self.store, FolderStore):
            return find_in_folder(self.root, self.storage, **how)
        return find_garbage(self.store, self.storage, **how)

    def delete(self, garbage: Iterable[Garbage], *, unlisted: bool = False) -> None:
        if isinstance(self.store, FolderStore):
            delete_in_folder(self.root, garbage, also_unlisted=unlisted)
        else:
            delete_garbage(self.store, garbage, also_unlisted=unlisted)

    def work_folders(self) -> set[str]:
        return set(self.storage.folders()) & {DENSE, MINE, OTHERS, OPEN}


@pytest.fixture(params=["folder", "mlflow"])
def sort(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def both(sort: str, tmp_path: Path, empty_database_file: Path) -> Both:
    """Two pipelines that share a dense run; the first has a round that was killed."""
    both = Both(tmp_path / "home", sort, empty_database_file)
    both.begin(*PIPELINES)
    both.work(DENSE, OPEN)
    both.commit(DENSE, MINE, OTHERS)
    return both


def test_nothing_that_is_finished_goes_while_its_pipeline_is_kept(both: Both) -> None:
    assert {(g.kind, g.key) for g in both.find()} == {("folder", OPEN)}


def test_what_only_a_forgotten_one_needs_goes(both: Both) -> None:
    both.kept.forget(FIRST, "stages")
    found = both.find()
    assert {g.key for g in found} == {MINE, OPEN, FIRST}
    both.delete(found)
    assert both.finished() == {DENSE, OTHERS}
    assert both.work_folders() == {DENSE}
    assert [p.key for p in both.kept.pipelines()] == [SECOND]
    assert both.find() == []
    both.kept.forget(SECOND, "stages")
    both.delete(both.find())
    assert both.finished() == both.work_folders() == set()
    assert both.kept.pipelines() == both.find() == []


def test_what_is_needed_again_meanwhile_stays(both: Both) -> None:
    both.kept.forget(FIRST, "stages")
    both.kept.forget(SECOND, "stages")
    found = both.find()
    both.begin(PIPELINES[0])
    both.delete(found)
    assert both.finished() == {DENSE, MINE}
    assert DENSE in both.work_folders()
    assert [p.key for p in both.kept.pipelines()] == [FIRST]


def test_what_no_note_lists_goes_only_when_it_is_asked_for(both: Both) -> None:
    lost = "e" * 32
    commit_small(both.store, lost)
    assert {g.key for g in both.find()} == {OPEN}
    assert both.find(unlisted=True, age=3600) == []
    found = both.find(unlisted=True)
    assert {g.key for g in found} == {OPEN, lost}
    # A pipeline that needs it begins before it is deleted.
    both.begin(_pipeline("9" * 32, lost))
    both.delete(found, unlisted=True)
    assert both.store.find("d1", [lost]).keys() == {lost}
    assert both.finished() == {DENSE, MINE, OTHERS}


def test_what_no_note_lists_is_deleted(both: Both) -> None:
    lost, other = "e" * 32, "f" * 32
    commit_small(both.store, lost)
    commit_small(both.store, other, data="d2")
    # Of this data a report is there that no note belongs to: what it needs is not known.
    commit_small(both.store, "9" * 32, data="d2", kind="report", facts=Facts())
    both.delete(both.find(unlisted=True), unlisted=True)
    assert both.store.find("d1", [lost]) == {}
    assert both.store.find("d2", [other]).keys() == {other}
    assert both.finished() == {DENSE, MINE, OTHERS}
    assert both.work_folders() == {DENSE}


def test_where_a_report_may_be_unreadable_nothing_unlisted_goes(both: Both, sort: str) -> None:
    """It would have kept all of its data."""
    lost, report = "e" * 32, "9" * 32
    commit_small(both.store, lost)
    commit_small(both.store, report, kind="report", facts=Facts())
    assert {g.key for g in both.find(unlisted=True)} == {OPEN}
    if isinstance(both.store, FolderStore):
        (both.root / report / "run.json").write_text("{")
    else:
        run = both.store.find("d1", [report])[report].run_id
        both.store.client.delete_tag(run, "prac.data")
    with pytest.raises(StoreError, match="can't be told apart from what it needs"):
        both.find(unlisted=True)
    assert both.store.find("d1", [lost]).keys() == {lost}
    assert {g.key for g in both.find()} == {OPEN}


@pytest.mark.parametrize("kind", ["", "something-new"])
def test_what_no_version_knows_stays(kind: str) -> None:
    assert unlisted([_pipeline(FIRST, DENSE)], {MINE: (kind, "d1")}) == {}


def test_a_ticket_that_no_note_lists_stays() -> None:
    there = {MINE: ("ticket", "d1"), OTHERS: ("round", "d1"), DENSE: ("dense", "d1")}
    assert unlisted([_pipeline(FIRST, DENSE)], there).keys() == {OTHERS}


def test_young_things_stay(both: Both) -> None:
    both.kept.forget(FIRST, "stages")
    if isinstance(both.store, FolderStore):
        assert find_in_folder(both.root, both.storage, min_age_seconds=3600) == []
    else:
        assert find_garbage(both.store, both.storage, min_age_seconds=3600) == []


def test_tickets_go_only_where_everybody_who_made_them_says_so() -> None:
    one, two = (_pipeline(key, **{MINE: "ticket:conv4:prac:1"}) for key in (FIRST, SECOND))

    def gone(first: str, second: str) -> set[str]:
        forgotten = zip((one, two), (first, second), strict=True)
        return set(let_go(dataclasses.replace(p, forgotten=what) for p, what in forgotten))

    assert gone("tickets", "tickets") == {MINE}
    assert gone("tickets", "stages") == gone("tickets", "") == gone("stages", "stages") == set()


def test_a_pipeline_of_an_earlier_version_needs_all_of_its_data(
    tmp_path: Path, empty_database_file: Path
) -> None:
    both = Both(tmp_path / "home", "mlflow", empty_database_file)
    both.begin(*PIPELINES)
    both.commit(DENSE, MINE)
    commit_small(both.store, "e" * 32, kind="report", facts=Facts())
    both.kept.forget(FIRST, "tickets")
    assert both.find() == []
    both.kept.forget("e" * 32, "stages")
    assert {g.key for g in both.find()} == {"e" * 32, MINE, FIRST}


def test_a_ticket_that_was_promoted_stays(
    tmp_path: Path, empty_database_file: Path, commit_ticket: Callable[..., Finished]
) -> None:
    both = Both(tmp_path / "home", "mlflow", empty_database_file)
    assert isinstance(both.store, MlflowStore)
    tickets = [commit_ticket(both.store, round_index=1, seed=seed) for seed in (1, 2)]
    names = {ticket.key: "ticket:resnet8:prac:1" for ticket in tickets}
    both.begin(dataclasses.replace(_pipeline(FIRST), needs=names))
    both.kept.forget(FIRST, "tickets")
    promoted = list_tickets(both.store)[0]
    both.store.client.copy_model_version(promoted.where, "production")
    both.delete(both.find())
    left = list_tickets(both.store)
    assert {t.run_id for t in left} == {promoted.run_id}
    assert {t.model for t in left} >= {"production"}


def test_what_gc_deleted_is_not_finished_when_it_is_restored(
    tmp_path: Path, empty_database_file: Path
) -> None:
    both = Both(tmp_path / "home", "mlflow", empty_database_file)
    both.begin(*PIPELINES)
    both.work(DENSE)
    both.commit(DENSE)
    assert isinstance(both.store, MlflowStore)
    run_id = both.store.find("d1", [DENSE])[DENSE].run_id
    for pipeline in PIPELINES:
        both.kept.forget(pipeline.key, "stages")
    both.delete(both.find())
    both.store.client.restore_run(run_id)
    assert both.finished() == set()


def test_of_a_shared_storage_each_store_touches_its_own(
    sort: str, tmp_path: Path, empty_database_file: Path
) -> None:
    shared = tmp_path / "shared"
    ours, theirs = (Both(tmp_path / n, sort, empty_database_file, shared) for n in ("a", "b"))
    ours.begin(_pipeline(FIRST, DENSE, MINE))
    theirs.begin(_pipeline(SECOND, DENSE, OTHERS))
    # Theirs has finished what ours was killed at, in the same folder; ours is finished too.
    ours.work(DENSE, MINE, OTHERS)
    theirs.commit(DENSE)
    assert {g.key for g in ours.find()} == {MINE}
    assert {g.key for g in theirs.find()} == {OTHERS}
    ours.kept.forget(FIRST, "stages")
    ours.delete(ours.find())
    assert ours.work_folders() == {DENSE, OTHERS}
    # Nobody else claims it now.
    theirs.kept.forget(SECOND, "stages")
    theirs.delete(theirs.find())
    assert ours.work_folders() == set()


def test_a_copy_touches_nothing_of_a_storage_that_it_shares_with_the_original(
    sort: str, tmp_path: Path, empty_database_file: Path
) -> None:
    shared = tmp_path / "shared"
    original = Both(tmp_path / "a", sort, empty_database_file, shared)
    original.begin(*PIPELINES)
    original.work(DENSE, OPEN)
    original.commit(DENSE)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    copy = Both(tmp_path / "b", sort, empty_database_file, shared)
    for pipeline in PIPELINES:
        copy.kept.forget(pipeline.key, "stages")
    copy.delete(copy.find())
    assert original.work_folders() == {DENSE, OPEN}
    assert original.finished() == {DENSE}
    # What it works on from now on is its own.
    new = "e" * 32
    copy.begin(_pipeline(FIRST, new))
    copy.work(new)
    assert {g.key for g in copy.find()} == {new}
    assert new not in {g.key for g in original.find()}


def test_a_store_that_moved_with_its_storage_knows_its_own(
    both: Both, sort: str, tmp_path: Path, empty_database_file: Path
) -> None:
    (tmp_path / "home").rename(tmp_path / "elsewhere")
    moved = Both(tmp_path / "elsewhere", sort, empty_database_file)
    for _ in range(2):
        assert {(g.kind, g.key) for g in moved.find()} == {("folder", OPEN)}
        moved.begin(*PIPELINES)


def test_a_second_database_beside_may_have_made_what_this_one_does_not_know(
    tmp_path: Path, empty_database_file: Path
) -> None:
    first = Both(tmp_path, "mlflow", empty_database_file)
    first.begin(*PIPELINES)
    first.work(DENSE, OPEN)
    # A backup, or another store, whose artifacts are beside it: in the same place.
    shutil.copy(tmp_path / "mlflow.db", tmp_path / "other.db")
    other = Both(tmp_path, "mlflow", empty_database_file)
    other.store = MlflowStore(f"sqlite:///{tmp_path / 'other.db'}")
    other.store.prepare()
    other.kept = MlflowKept(other.store)
    first.commit(DENSE)
    assert other.find() == []
    other.begin(_pipeline(SECOND, OTHERS))
    assert other.find() == []
    assert {g.key for g in first.find()} == {OPEN}


def test_a_claim_that_can_not_be_read_is_an_error(both: Both) -> None:
    name = both.kept.identity().name
    both.storage.child("stores", name).write(f"{FIRST}.json", b"{")
    with pytest.raises(StoreError, match="whose folders there are is not known"):
        both.find()


def test_what_a_killed_process_left_of_a_folder_store_goes(tmp_path: Path) -> None:
    both = Both(tmp_path, "folder", tmp_path)
    both.begin(*PIPELINES)
    both.commit(DENSE)
    for name in (".making-x", ".going-y", "revoked/z"):
        (both.root / name).mkdir(parents=True)
        (both.root / name / "file").write_text("half")
    found = both.find()
    assert {Path(g.where).name for g in found} == {".making-x", ".going-y", "z"}
    both.delete(found)
    assert sorted(p.name for p in both.root.iterdir()) == [DENSE, "kept", "revoked"]


def test_a_note_leads_to_no_other_file(tmp_path: Path) -> None:
    both = Both(tmp_path, "folder", tmp_path)
    both.begin(_pipeline(FIRST, MINE))
    (tmp_path / "mine.json").write_text("mine")
    forged = dataclasses.replace(_pipeline("../../../mine", MINE), forgotten="stages")
    (both.root / "kept" / f"{SECOND}.json").write_text(to_json(forged))
    with pytest.raises(StoreError, match=f"{SECOND}.json.*can't be read.*key:.*mine"):
        both.find()
    assert (tmp_path / "mine.json").read_text() == "mine"


def test_an_identity_that_can_not_be_read_is_an_error(both: Both) -> None:
    place = both.kept.identity().place
    for name in ("../../..", "", "a/b"):
        text = json.dumps({"name": name, "place": place, "former": []})
        if isinstance(both.kept, FolderKept):
            (both.root / "kept" / ".store").write_text(text)
        else:
            assert isinstance(both.store, MlflowStore)
            both.store.client.set_experiment_tag(
                both.store.experiment("prac-kept"), "prac.store", text
            )
        with pytest.raises(StoreError, match=r"which says which store this is.*name:"):
            both.find()


def test_what_a_link_leads_to_stays(both: Both, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "file").write_text("mine")
    root = both.root
    if isinstance(both.store, MlflowStore):
        experiment = both.store.client.get_experiment(both.store.experiment("prac-stages"))
        root = Path(experiment.artifact_location)
    links = (root / MINE, root / ("f" * 32), both.storage.local_path / MINE)
    for link in links:
        if link.exists():
            shutil.rmtree(link)
        link.symlink_to(mine)
    both.kept.forget(FIRST, "tickets")
    both.kept.forget(SECOND, "tickets")
    both.delete(both.find())
    assert (mine / "file").read_text() == "mine"
    assert both.find() == []
