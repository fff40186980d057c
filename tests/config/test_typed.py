"""Values of any kind that Python hands over: brought to the field's type, or refused in a line."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from prac.config.recipes import get_recipe
from prac.config.values import RewindPoint, Share
from prac.errors import ConfigError
from prac.fingerprint import fingerprint

RECIPE = get_recipe("digits")


@pytest.mark.parametrize(
    ("section", "field", "value", "held"),
    [
        ("train", "learning_rate", np.float32(0.5), 0.5),
        ("train", "learning_rate", 1, 1.0),
        ("train", "batch_size", np.int32(16), 16),
        ("train", "batch_size", torch.tensor(16), 16),
        ("train", "milestones", [3, np.int64(5)], (3, 5)),
        ("train", "nesterov", np.True_, True),
        ("search", "seed", np.uint8(3), 3),
        ("search", "rewind", "init", RewindPoint("init")),
        ("search", "rewind", "epoch:2", RewindPoint("epoch", 2)),
        ("augment", "crop_padding", "0.125x", Share(0.125)),
        ("budget", "min_round_steps", "0.5x", Share(0.5)),
        ("budget", "min_round_steps", np.int64(7), 7),
        ("prune", "tolerance", None, None),
    ],
)
def test_what_means_the_same_is_the_same(section: str, field: str, value: Any, held: Any) -> None:
    made, plain = (RECIPE.set(**{section: {field: each}}) for each in (value, held))
    found = getattr(getattr(made, section), field)
    assert (found, type(found)) == (held, type(held))
    assert fingerprint(made) == fingerprint(plain)


@pytest.mark.parametrize(
    ("section", "field", "value", "allowed"),
    [
        ("train", "epochs", 2.0, "a whole number"),
        ("train", "epochs", True, "a whole number"),
        ("train", "epochs", "2", "a whole number"),
        ("train", "batch_size", 1.5, "a whole number"),
        ("train", "batch_size", None, "a whole number"),
        ("train", "learning_rate", "0.1", "a number"),
        ("train", "learning_rate", True, "a number"),
        ("train", "learning_rate", 1j, "a number"),
        ("train", "nesterov", 1, "true or false"),
        ("train", "milestones", None, "several, each a whole number"),
        ("train", "milestones", (1.5,), "several, each a whole number"),
        ("train", "milestones", "3,5", "several, each a whole number"),
        ("select", "threshold", True, "a whole number"),
        ("select", "threshold", 1.5, "a whole number"),
        ("select", "fraction", "half", "a number, or none"),
        ("search", "rounds", 1.0, "a whole number"),
        ("search", "seed", 1.5, "a whole number"),
        ("search", "rewind", None, "epoch:N, step:N, init or learning-rate"),
        ("search", "rewind", "never", "epoch:N, step:N, init, learning-rate"),
        ("prune", "layers", ["conv"], "a text"),
        ("data", "source", None, "a text"),
        ("model", "weights", "a.safetensors", "several, each a text"),
    ],
)
def test_what_no_field_holds_is_refused(section: str, field: str, value: Any, allowed: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{section}\.{field} .* is not allowed; allowed: "):
        RECIPE.set(**{section: {field: value}})
    with pytest.raises(ConfigError) as refused:
        RECIPE.set(**{section: {field: value}})
    assert str(refused.value).endswith(f"allowed: {allowed}")


def test_names_that_are_none_are_answered_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"field of train 'epoch' is not known; .*'epochs'"):
        RECIPE.set(train={"epoch": 1})
    with pytest.raises(ConfigError, match=r"section 'trian' is not known; .*'train'"):
        RECIPE.set(trian={"epochs": 1})
    with pytest.raises(ConfigError, match="allowed: fields by name"):
        RECIPE.set(train=5)  # type: ignore[arg-type]
