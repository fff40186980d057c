"""A kind of stage that computes with other code than before has another version."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from support.computes import NEW_KINDS, PACKAGES, Code, is_machinery
from support.golden import COMPUTES, RECIPE, images

import prac
from prac.lottery.graph import Stage
from prac.lottery.kinds import KINDS
from prac.lottery.progress import Display
from prac.lottery.search import Local

STEPS = {name for name, kind in KINDS.items() if kind.run is not None}
HANDS = {("prac.lottery.local", f"LocalEnv.{name}") for name in ("on_epoch", "work")}
TRAINING = {"dense", "round", "judge", "proxy"}


def test_what_computes_changes_with_its_version() -> None:
    code, frozen = Code(), json.loads(COMPUTES.read_text())
    now = {k: {"version": KINDS[k].version, "computes": code.digest(k)} for k in STEPS}
    changed = sorted(k for k in {**frozen, **now} if frozen.get(k) != now.get(k))
    assert not changed, NEW_KINDS.format(kinds=", ".join(changed))


def _changed(module: str, old: str, new: str) -> set[str]:
    """The kinds that compute with something else where a piece of a module's text is another."""
    text = (PACKAGES / module.replace(".", "/")).with_suffix(".py").read_text()
    assert text.count(old) == 1
    before, after = Code(), Code({module: text.replace(old, new)})
    return {kind for kind in STEPS if before.digest(kind) != after.digest(kind)}


@pytest.mark.parametrize(
    ("module", "old", "new", "kinds"),
    [
        ("prac.training.passes", "(losses * weight)", "(losses * weight * 2)", TRAINING),
        ("prac.training.sgd", "alpha=-learning_rate", "alpha=learning_rate", TRAINING),
        ("prac.selection.critical", "pc.greater(", "pc.greater_equal(", {"select"}),
        ("prac.lottery.steps.masks", "=made.mask.sparsity", "=1.0", {"prune"}),
        # Through a table that names it.
        ("prac.models.conv", "nn.ReLU(", "nn.GELU(", STEPS - {"reduce", "select", "subset"}),
        # Through what a stage is handed on a cluster.
        ("prac.distributed.reducer", "total.merge(count)", "total.merge(total)", {"reduce"}),
    ],
)
def test_a_change_is_seen_in_the_kinds_that_it_changes(
    module: str, old: str, new: str, kinds: set[str]
) -> None:
    assert _changed(module, old, new) == kinds


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("prac.training.passes", '"""One kernel after the other.', '"""Kernel by kernel.'),
        ("prac.training.passes", "_log.warning(", "_log.error("),
        ("prac.training.sgd", "import torch\n", "import torch  # what else\n"),
        ("prac.training.loop", "the loss is not finite in epoch", "no finite loss: epoch"),
        ("prac.selection.critical", "require(threshold >= 0", "require(99 > threshold >= 0"),
        (
            "prac.training.optimizers",
            "if not isinstance(made, ",
            "if made is None or not isinstance(made, ",
        ),
        ("prac.pruning.mask", "def num_alive(self) -> int:", "def num_alive(self) -> object:"),
    ],
)
def test_words_refusals_and_types_change_no_kind(module: str, old: str, new: str) -> None:
    assert _changed(module, old, new) == set()


class Watching(Display):
    """Notes what of `prac` a search runs within each kind's step, by the interpreter's own word."""

    def __init__(self) -> None:
        self.ran: dict[str, set[tuple[str, str]]] = defaultdict(set)
        self._kind, self._depth = "", 0

    def started(self, stage: Stage) -> None:
        self._kind = stage.kind

    def profile(self, frame: FrameType, event: str, argument: Any) -> None:
        module, code = frame.f_globals.get("__name__", ""), frame.f_code
        written = code.co_filename.startswith(str(PACKAGES / "prac"))
        imports = code.co_name == "<module>"
        if imports or not written or event not in ("call", "return"):
            return
        if self._kind and code is KINDS[self._kind].step().__code__:
            self._depth += 1 if event == "call" else -1
        if self._depth and not is_machinery(module):
            self.ran[self._kind].add((module, code.co_qualname))

    finished = news = say = lambda self, *_: None


def test_all_that_a_search_runs_is_followed(tmp_path: Path) -> None:
    watching, code = Watching(), Code()
    sys.setprofile(watching.profile)
    try:
        prac.search(
            RECIPE, data=images(), store=tmp_path, how=Local(device="cpu", display=watching)
        )
    finally:
        sys.setprofile(None)
    assert set(watching.ran) == STEPS
    missed = {}
    for kind, ran in watching.ran.items():
        reached = set(code.reached(kind))
        # A function in another belongs to that, a method to its class.
        outer = {(module, name.split(".<locals>")[0]) for module, name in ran} - HANDS
        missed[kind] = {p for p in outer - reached if (p[0], p[1].split(".")[0]) not in reached}
    assert not any(missed.values()), missed
