"""One tiny search, undisturbed: what every disturbed run of it has to find again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.launch import Launch, Tracked, empty_database, launched

from prac import Mask
from prac.cli.options import OneLineParser, add_pipeline_options, recipe_from
from prac.lottery.outputs import NEXT_MASK, SET
from prac.lottery.search import search

# 100 steps a round leave time to kill it in the middle.
LOCAL_WORDS = (
    *("--architectures", "conv4", "--rounds", "2", "--epochs", "8", "--compare"),
    *("--judge", "none"),
    *("--set", "prune.tolerance=none", "--set", "budget.min_round_steps=100"),
)
WORDS = (*LOCAL_WORDS, "--workers", "2")


@dataclass(frozen=True)
class Found:
    """What a pipeline found: the PrAC sets' ids and the masks, by stage."""

    sets: dict[str, np.ndarray]
    masks: dict[str, Mask]

    @classmethod
    def of(cls, home: Path) -> Found:
        """Read from the artifacts of the finished stages."""
        runs = Tracked(home).finished()
        return cls.of_folders({name: run["folder"] for name, run in runs.items()})

    @classmethod
    def of_folders(cls, folders: Mapping[str, Path]) -> Found:
        """Read from the stages' folders, by their names."""
        sets, masks = {}, {}
        for name, folder in folders.items():
            kind = name.partition(":")[0]
            if kind == "select":
                sets[name] = SET.read(folder / SET.name).sample_ids
            elif kind in ("dense", "round"):
                masks[name] = NEXT_MASK.read(folder / NEXT_MASK.name)
        return cls(sets, masks)

    def assert_same(self, other: Found) -> None:
        """Id for id, bit for bit."""
        assert self.sets.keys() == other.sets.keys()
        assert self.masks.keys() == other.masks.keys()
        for name, ids in self.sets.items():
            np.testing.assert_array_equal(ids, other.sets[name], err_msg=name)
        for name, mask in self.masks.items():
            assert mask.distance(other.masks[name]) == 0, name


@pytest.fixture(scope="session")
def begin(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., AbstractContextManager[Launch]]:
    """Starts the tiny pipeline in a home; nothing of it outlives the context."""
    database = empty_database(tmp_path_factory.getbasetemp())

    def start(home: Path, *more: str) -> AbstractContextManager[Launch]:
        if not (home / "mlflow.db").is_file():
            shutil.copy(database, home / "mlflow.db")
        return launched(home, *WORDS, *more)

    return start


@pytest.fixture
def launch(begin: Callable[..., AbstractContextManager[Launch]]) -> Iterator[Any]:
    """Start the tiny pipeline in a home; nothing of it outlives the test."""
    with ExitStack() as stack:
        yield lambda home, *more: stack.enter_context(begin(home, *more))


@pytest.fixture
def launch_local() -> Iterator[Callable[[Path], Launch]]:
    """Start it in one process, without Ray and MLflow."""
    with ExitStack() as stack:
        yield lambda home: stack.enter_context(launched(home, *LOCAL_WORDS, "--executor", "local"))


@pytest.fixture(scope="session")
def reference() -> Found:
    """What an undisturbed search finds, in this process."""
    parser = OneLineParser()
    add_pipeline_options(parser)
    result = search(recipe_from(parser.parse_args(WORDS)), judge="none")
    return Found(
        {f"select:conv4:prac:{k}": result.sets[k].sample_ids for k in (1, 2)},
        {"dense:conv4:prac": result.masks[1], "round:conv4:prac:1": result.masks[2]},
    )


@pytest.fixture
def found() -> type[Found]:
    """To read what a run found."""
    return Found


@pytest.fixture
def tracked() -> type[Tracked]:
    """To read the runs in a store."""
    return Tracked
