"""Where finished stages are: memory, a folder and MLflow, against one set of properties."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from support.golden import STORE

from prac import Mask
from prac.errors import StoreError
from prac.lottery.folder_store import FolderStore
from prac.lottery.graph import Stage
from prac.lottery.kinds import KINDS
from prac.lottery.outputs import (
    BEST,
    NEXT_MASK,
    PREDICTIONS,
    SET,
    TRAINED,
    Cost,
    JudgeFacts,
    Made,
    RoundFacts,
    SetFacts,
)
from prac.lottery.stage_config import ReduceConfig
from prac.lottery.store import (
    MANIFEST,
    DamagedArtifact,
    Finished,
    Manifest,
    MemoryStore,
    Store,
    StoreAway,
    sha256,
)
from prac.selection.prac_set import PracSet

DATA = "d" * 32


def _stage(key: str = "a", kind: str = "round") -> Stage:
    return Stage(
        name=f"{kind}:resnet8:prac:{key}",
        kind=kind,
        architecture="resnet8",
        method="prac",
        round_index=1,
        config=ReduceConfig(),
        inputs={},
        key=key * 32,
    )


FACTS = RoundFacts(
    epochs=2,
    budget_epochs=3,
    best_epoch=1,
    best_accuracy=0.1 + 0.2,
    curves={"loss": (1.5, 1 / 3)},
    next_sparsity=0.5,
    next_weights_alive=2,
    weights=4,
    set_size=7,
    stopped_early=True,
    distances=(0.25,),
)
COST = Cost(steps=4, samples=14, seconds=0.5, joules=None, energy_source="nothing")


MADE_BY = {"torch": "2.15.0 and 2.14.1", "processor": "a \N{MIDDLE DOT} b"}


def _made(value: float = 1.0) -> Made:
    return Made(
        facts=FACTS,
        cost=COST,
        made_by=MADE_BY,
        files={
            NEXT_MASK: Mask({"w": torch.tensor([True, False, True, False])}),
            BEST: {"w": torch.full((4,), value)},
            PREDICTIONS: pa.table({"sample_id": [0, 1], "predicted": [2, 0]}),
        },
    )


def _set() -> Made:
    ids = np.array([3], np.int32)
    chosen = PracSet(ids, np.ones(1, np.uint8))
    facts = SetFacts(set_size=1, cet_size=1, cep_size=0, overlap=0, digest=chosen.digest)
    return Made(facts=facts, files={SET: chosen})


def _commit(store: Store, stage: Stage, made: Made) -> Finished:
    return store.commit(stage, made, data=DATA, started=time.time())


Open = Callable[[], Store]


@pytest.fixture(params=["memory", "folder", "mlflow"])
def again(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens one and the same empty store, as often as it is called."""
    if request.param == "memory":
        memory = MemoryStore()
        yield lambda: memory
    elif request.param == "folder":
        yield lambda: FolderStore(tmp_path / "stages")
    else:
        from prac.tracking.store import MlflowStore

        shutil.copy(request.getfixturevalue("empty_database_file"), tmp_path / "mlflow.db")
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(tmp_path)

            def connected() -> Store:
                store = MlflowStore(f"sqlite:///{tmp_path / 'mlflow.db'}")
                store.prepare()
                return store

            yield connected


def test_what_is_committed_is_found_and_read(again: Open) -> None:
    store, stage, other = again(), _stage("a"), _stage("b", "select")
    assert store.find(DATA, [stage.key]) == {}
    assert store.find_one(stage) is None
    finished = _commit(store, stage, _made())
    chosen = _commit(store, other, _set())
    assert (finished.key, finished.name) == (stage.key, stage.name)
    assert finished.run_id != chosen.run_id
    # Whoever opens it later sees the same.
    for opened in (store, again()):
        found = opened.find(DATA, [stage.key, other.key, "c" * 32])
        assert found.keys() == {stage.key, other.key}
        assert found[stage.key].run_id == finished.run_id
        one = opened.find_one(stage)
        assert one is not None
        assert one.run_id == finished.run_id
        for which in (finished, found[stage.key], one):
            made = opened.read(which)
            assert made.facts == FACTS
            assert made.cost == COST
            assert made.made_by == MADE_BY
            assert made.known(RoundFacts).curves["loss"] == (1.5, 1 / 3)
            assert {f for f in (NEXT_MASK, BEST, PREDICTIONS) if f in made.files} == {
                NEXT_MASK,
                BEST,
                PREDICTIONS,
            }
            assert made[NEXT_MASK] == _made()[NEXT_MASK]
            assert torch.equal(made[BEST]["w"], torch.ones(4))
            assert made[PREDICTIONS].equals(_made()[PREDICTIONS])
        assert opened.read(found[other.key]).known(SetFacts).set_size == 1
        assert BEST not in opened.read(found[other.key]).files


def test_a_revoked_run_is_found_no_more_and_another_may_take_its_place(again: Open) -> None:
    store, stage = again(), _stage()
    first = _commit(store, stage, _made(1.0))
    _commit(store, _stage("b"), _made(3.0))
    store.revoke(first, "it is damaged")
    for opened in (store, again()):
        assert opened.find(DATA, [stage.key, "b" * 32]).keys() == {"b" * 32}
        assert opened.find_one(stage) is None
    second = _commit(store, stage, _made(2.0))
    assert again().find(DATA, [stage.key])[stage.key].run_id == second.run_id
    assert float(again().read(second)[BEST]["w"][0]) == 2.0


def test_a_revoked_run_may_be_revoked_again(again: Open) -> None:
    """Two pipelines may see the damage at once."""
    store, stage = again(), _stage()
    finished = _commit(store, stage, _made())
    store.revoke(finished, "once")
    store.revoke(finished, "twice")
    assert store.find(DATA, [stage.key]) == {}


# --- what is on disk -----------------------------------------------------------------------------


def _place(store: Store, finished: Finished) -> Path:
    if isinstance(store, FolderStore):
        return store.root / finished.key
    return Path(finished.where.removeprefix("file://"))


@pytest.fixture(params=["folder", "mlflow"])
def on_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "folder":
        yield FolderStore(tmp_path / "stages")
        return
    from prac.tracking.store import MlflowStore

    shutil.copy(request.getfixturevalue("empty_database_file"), tmp_path / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        store = MlflowStore(f"sqlite:///{tmp_path / 'mlflow.db'}")
        store.prepare()
        yield store


def _flip(file: Path, at: int) -> None:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(bytes(data))


def test_a_damaged_file_is_found_when_it_is_read(on_disk: Store) -> None:
    finished = _commit(on_disk, _stage(), _made())
    file = _place(on_disk, finished) / BEST.name
    good = file.read_bytes()
    for damage in (lambda: _flip(file, -1), lambda: file.write_bytes(good[:-1]), file.unlink):
        file.write_bytes(good)
        assert torch.equal(on_disk.read(finished)[BEST]["w"], torch.ones(4))
        damage()
        made = on_disk.read(finished)  # what is asked for is verified, and nothing else
        assert made.facts == FACTS
        assert made[NEXT_MASK].num_alive == 2
        with pytest.raises(DamagedArtifact, match=f"{BEST.name} (fails its|is missing)") as caught:
            _ = made[BEST]
        assert caught.value.finished.run_id == finished.run_id
        assert caught.value.what.startswith(BEST.name)
    # Where it is found again, the damage has the same name.
    found = on_disk.find(DATA, [finished.key])[finished.key]
    with pytest.raises(DamagedArtifact):
        _ = on_disk.read(found)[BEST]


def test_a_damaged_manifest_is_found_at_once(on_disk: Store) -> None:
    finished = _commit(on_disk, _stage(), _made())
    found = on_disk.find(DATA, [finished.key])[finished.key]
    file = _place(on_disk, finished) / MANIFEST
    good = file.read_bytes()
    damages: list[Callable[[], object]] = [
        lambda: file.write_bytes(good.replace(b'"steps": 4', b'"steps": 5')),
        lambda: file.write_bytes(b"{}"),
        lambda: file.write_bytes(b""),
        lambda: file.write_bytes(b"\xff" * 9),
        file.unlink,
    ]
    for damage in damages:
        damage()
        with pytest.raises(DamagedArtifact, match=MANIFEST):
            on_disk.read(found)
    file.write_bytes(good)
    assert on_disk.read(found).facts == FACTS


def test_a_manifest_of_a_later_version_is_no_damage(on_disk: Store) -> None:
    finished = _commit(on_disk, _stage(), _made())
    file = _place(on_disk, finished) / MANIFEST
    values = json.loads(file.read_text())
    for told in (1, 2):
        file.write_text(json.dumps({**values, "format": told}))
        found = dataclasses.replace(finished, manifest=None, manifest_sha256=sha256(file))
        if told == 1:
            assert on_disk.read(found).facts == FACTS
            continue
        file.write_text(json.dumps({**values, "format": told, "more": 1}))
        found = dataclasses.replace(finished, manifest=None, manifest_sha256=sha256(file))
        with pytest.raises(StoreAway, match=r"manifest.json has format 2, which a later version"):
            on_disk.read(found)


def test_facts_without_the_files_that_they_are_of_are_not_trusted(on_disk: Store) -> None:
    """A judgement of 100 % is quickly written; the weights that were judged have to be there."""
    facts = JudgeFacts(
        epochs=1, budget_epochs=1, best_epoch=1, best_accuracy=1.0, test_accuracy=1.0
    )
    finished = _commit(on_disk, _stage("f", "judge"), Made(facts=facts))
    (found,) = on_disk.find(DATA, [finished.key]).values()
    with pytest.raises(DamagedArtifact, match=f"{TRAINED.name}, which every judge leaves, is not"):
        on_disk.read(dataclasses.replace(found, manifest=None))


def test_a_manifest_of_another_stage_is_not_trusted(on_disk: Store) -> None:
    finished = _commit(on_disk, _stage(), _made())
    other = dataclasses.replace(finished, key="f" * 32, manifest=None)
    place = _place(on_disk, finished)
    if isinstance(on_disk, FolderStore):
        place.rename(place.with_name(other.key))
    with pytest.raises(DamagedArtifact, match="is that of another stage"):
        on_disk.read(other)


def test_the_golden_stages_list_what_their_kinds_leave() -> None:
    kinds = set()
    for file in STORE.glob("*/manifest.json"):
        manifest = Manifest.from_bytes(file.read_bytes())
        kinds.add(manifest.kind)
        for left in KINDS[manifest.kind].leaves:
            assert any(n.split("/")[0] == left.name for n in manifest.sha256), (file, left.name)
    assert kinds == KINDS.keys() - {"report", "sweep"}


def test_a_file_that_no_manifest_lists_is_not_read(on_disk: Store) -> None:
    made = Made(facts=FACTS, cost=COST, files={BEST: {"w": torch.ones(4)}})
    finished = _commit(on_disk, _stage(), made)
    whole = _commit(on_disk, _stage("b"), _made())
    shutil.copy(_place(on_disk, whole) / NEXT_MASK.name, _place(on_disk, finished))
    read = on_disk.read(finished)
    assert NEXT_MASK not in read.files
    with pytest.raises(DamagedArtifact, match=f"{NEXT_MASK.name} is missing"):
        _ = read[NEXT_MASK]


def test_damage_travels_between_processes() -> None:
    finished = Finished(key="a", name="n", run_id="r", where="w", manifest_sha256="m")
    error = DamagedArtifact(finished, "x is missing")
    found = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(found), str(found), found.what) == (DamagedArtifact, str(error), error.what)
    assert found.finished == error.finished


# --- a folder ------------------------------------------------------------------------------------


def test_a_folder_that_is_away_is_no_reason_to_make_anything_again(tmp_path: Path) -> None:
    root = tmp_path / "stages"
    store = FolderStore(root)
    finished = _commit(store, _stage(), _made())
    read = store.read(finished)
    root.rename(tmp_path / "elsewhere")
    with pytest.raises(StoreAway, match="is not there"):
        _ = read[BEST]
    with pytest.raises(StoreAway, match="is not there"):
        FolderStore(root).read(Finished(**{**vars(finished), "manifest": None}))
    # As what is not mounted.
    root.mkdir()
    with pytest.raises(StoreAway, match="empty"):
        _ = read[BEST]
    with pytest.raises(StoreAway, match="empty"):
        FolderStore(root).read(Finished(**{**vars(finished), "manifest": None}))
    root.rmdir()
    # It was never seen: an empty store, not one that is away.
    assert FolderStore(tmp_path / "new").find(DATA, [finished.key]) == {}
    # This one was: nothing of it may be taken for new.
    with pytest.raises(StoreAway):
        store.revoke(finished, "it looked damaged")
    assert not root.exists()
    root.mkdir()
    with pytest.raises(StoreAway):
        store.revoke(finished, "it looked damaged")
    assert list(root.iterdir()) == []
    root.rmdir()
    (tmp_path / "elsewhere").rename(root)
    assert store.find(DATA, [finished.key]).keys() == {finished.key}
    assert torch.equal(read[BEST]["w"], torch.ones(4))


def test_a_stage_whose_folder_alone_is_away_is_no_damage(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "stages")
    finished = _commit(store, _stage(), _made())
    read = store.read(finished)
    # Another disk, with another's stages.
    store.root.rename(tmp_path / "elsewhere")
    (store.root / ("f" * 32)).mkdir(parents=True)
    with pytest.raises(StoreAway, match=f"{finished.key} is not there; bring it back"):
        _ = read[BEST]


def test_a_folder_that_can_not_be_read_is_away(tmp_path: Path) -> None:
    root = tmp_path / "stages"
    root.write_text("a file")  # as unreadable to anybody as a mount that answers with an error
    store = FolderStore(root)
    with pytest.raises(StoreAway):
        store.find_one(_stage())
    with pytest.raises(StoreAway):
        store.find(DATA, [_stage().key])
    with pytest.raises(StoreError, match="can't be written"):
        _commit(store, _stage(), _made())


def test_a_revoked_folder_is_moved_aside_with_the_reason(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    finished = _commit(store, _stage(), _made())
    before = sorted(path.name for path in (tmp_path / finished.key).iterdir())
    store.revoke(finished, "best_weights.safetensors fails its checksum")
    (aside,) = (tmp_path / "revoked").iterdir()
    assert sorted(path.name for path in (aside / finished.key).iterdir()) == before
    assert (aside / "reason.txt").read_text() == "best_weights.safetensors fails its checksum\n"


def test_only_the_damaged_run_is_revoked(tmp_path: Path) -> None:
    """What another process has put in its place meanwhile stays."""
    store, stage = FolderStore(tmp_path), _stage()
    damaged = _commit(store, stage, _made(1.0))
    FolderStore(tmp_path).revoke(damaged, "seen by another process first")
    fresh = _commit(FolderStore(tmp_path), stage, _made(2.0))
    store.revoke(damaged, "seen late")
    found = store.find_one(stage)
    assert found is not None
    assert found.manifest_sha256 == fresh.manifest_sha256
    assert float(store.read(found)[BEST]["w"][0]) == 2.0


def test_who_tells_of_a_run_that_is_gone_is_told_of_the_new_one(tmp_path: Path) -> None:
    store, stage = FolderStore(tmp_path), _stage()
    first = _commit(store, stage, _made(1.0))
    read = store.read(first)
    store.revoke(first, "damaged")
    _commit(store, stage, _made(2.0))
    # The files of the one are not those of the other.
    with pytest.raises(DamagedArtifact) as caught:
        _ = read[BEST]
    assert caught.value.finished == first


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"name": "x"}'])
def test_a_folder_whose_note_is_damaged(tmp_path: Path, text: str) -> None:
    store, stage = FolderStore(tmp_path), _stage()
    finished = _commit(store, stage, _made())
    (tmp_path / finished.key / "run.json").write_text(text)
    other = _commit(store, _stage("b"), _made())
    # It is in nobody's way: not found, and moved aside, with the reason.
    assert store.find(DATA, [stage.key, other.key]).keys() == {other.key}
    assert store.find_one(stage) is None
    (aside,) = (tmp_path / "revoked").iterdir()
    assert (aside / "reason.txt").read_text().startswith("run.json can't be read (")
    assert (aside / finished.key / MANIFEST).is_file()
    _commit(store, stage, _made(2.0))
    assert store.find_one(stage) is not None


def test_a_note_of_a_later_version_is_no_damage(tmp_path: Path) -> None:
    store, stage = FolderStore(tmp_path), _stage()
    note = tmp_path / _commit(store, stage, _made()).key / "run.json"
    values = json.loads(note.read_text())
    note.write_text(json.dumps({**values, "format": 1}))
    assert store.find_one(stage) is not None
    later = json.dumps({**values, "format": 2, "more": 1})
    note.write_text(later)
    for ask in (lambda: store.find_one(stage), lambda: store.find(DATA, [stage.key])):
        with pytest.raises(StoreAway, match=r"run.json has format 2, which a later version"):
            ask()
    assert note.read_text() == later
    assert not (tmp_path / "revoked").exists()


def _commits(root: str, value: float, ready: Any, results: Any) -> None:
    torch.set_num_threads(1)
    store, made = FolderStore(Path(root)), _made(value)
    ready.wait()
    finished = [_commit(store, _stage(key), made) for key in "abcdef"]
    results.put([(f.key, f.manifest_sha256, float(store.read(f)[BEST]["w"][0])) for f in finished])


def test_two_processes_that_make_the_same_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The new processes import this file.
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    spawn = multiprocessing.get_context("spawn")
    ready, results = spawn.Barrier(2), spawn.Queue()
    workers = [
        spawn.Process(target=_commits, args=(str(tmp_path), value, ready, results))
        for value in (1.0, 2.0)
    ]
    for worker in workers:
        worker.start()
    told = [results.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    # Both have what is there, whole, whoever was first.
    assert told[0] == told[1]
    assert {value for _, _, value in told[0]} <= {1.0, 2.0}
    assert not list(tmp_path.glob(".making-*"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [key * 32 for key in "abcdef"]
    for file in tmp_path.rglob(MANIFEST):
        assert json.loads(file.read_bytes())["key"] == file.parent.name


KILLED = """
import os, signal, sys, time
from pathlib import Path
from tests_of_stores import DATA, _made, _stage
from prac.lottery import folder_store
from prac.lottery.folder_store import FolderStore

class Killed(FolderStore):
    # The place is asked for to move the folder there, when all is written.
    def _folder(self, key):
        os.kill(os.getpid(), signal.SIGKILL)

Killed(Path(sys.argv[1])).commit(_stage(), _made(), data=DATA, started=time.time())
"""


def test_killed_between_writing_and_moving(tmp_path: Path) -> None:
    shutil.copy(__file__, tmp_path / "tests_of_stores.py")
    root = tmp_path / "stages"
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(root)],
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    (left,) = root.iterdir()
    assert left.name.startswith(".making-")
    assert (left / MANIFEST).is_file()
    # Nothing is found of it, and it is in nobody's way.
    store, stage = FolderStore(root), _stage()
    assert store.find_one(stage) is None
    assert store.find(DATA, [stage.key]) == {}
    finished = _commit(store, stage, _made())
    assert store.find(DATA, [stage.key])[stage.key].run_id == finished.run_id
    assert left.is_dir()


def test_a_failure_while_writing_leaves_nothing(tmp_path: Path) -> None:
    broken = Made(facts=FACTS, files={BEST: {"w": "no tensor"}})
    store = FolderStore(tmp_path)
    with pytest.raises(AttributeError):
        _commit(store, _stage(), broken)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_is_in_a_stage_s_place_is_moved_aside(tmp_path: Path, what: str) -> None:
    """Half a copy, or a file: no stage may be kept from being finished by it."""
    store, stage = FolderStore(tmp_path), _stage()
    place = tmp_path / stage.key
    if what == "folder":
        place.mkdir()
        (place / "half").write_text("a copy that was cut off")
    else:
        place.write_text("?")
    finished = _commit(store, stage, _made())
    assert store.find_one(stage) == finished
    (aside,) = (tmp_path / "revoked").iterdir()
    assert (aside / stage.key).exists()


def test_a_folder_of_runs_has_its_events_where_earlier_searches_left_them(tmp_path: Path) -> None:
    store = FolderStore.of_runs(tmp_path)
    assert (store.root, store.work) == (tmp_path / "stages", tmp_path)
    (tmp_path / "work").mkdir()
    assert FolderStore.of_runs(tmp_path).work == tmp_path / "work"


def test_weights_that_share_memory_are_kept_each(tmp_path: Path) -> None:
    shared = torch.arange(6.0).view(2, 3)
    BEST.write(tmp_path, {"one": shared, "two": shared, "turned": shared.T})
    found = BEST.read(tmp_path / BEST.name)
    assert {name: tensor.tolist() for name, tensor in found.items()} == {
        "one": shared.tolist(),
        "two": shared.tolist(),
        "turned": shared.T.tolist(),
    }
