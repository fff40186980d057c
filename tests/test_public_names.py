"""The public names: all there, cheap to import, the same object every time."""

import importlib
import json
import subprocess
import sys

import pytest

import prac

# The contracts of the architecture: others build on these.
CONTRACT = [
    "EVENT_SCHEMA",
    "EarlyBird",
    "Mask",
    "PracSet",
    "Ticket",
    "critical_for_pruning",
    "critical_for_training",
    "forgetting_statistics",
    "global_magnitude",
]


@pytest.mark.parametrize("name", sorted({*CONTRACT, *prac.__all__}))
def test_a_name_is_there_and_is_its_homes(name: str) -> None:
    assert name in prac.__all__
    assert name in dir(prac)
    found = getattr(prac, name)
    if hasattr(found, "__module__"):
        assert getattr(importlib.import_module(found.__module__), name) is found


def test_a_name_stays_the_same_object() -> None:
    # A public name that is also a module's name becomes the module once that is imported.
    for name in prac.__all__:
        assert getattr(prac, name) is getattr(prac, name)
        assert f"prac.{name}" not in sys.modules


def test_all_says_what_is_public() -> None:
    assert len(set(prac.__all__)) == len(prac.__all__)
    homes = {name for names in prac._HOMES.values() for name in names.split()}
    assert homes == set(prac.__all__)
    scope: dict[str, object] = {}
    exec("from prac import *", scope)
    assert set(prac.__all__) <= set(scope)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'prac' has no attribute 'Lottery'"):
        _ = prac.Lottery


def loaded_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after running `code`."""
    report = "import sys, json; print(json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def test_importing_the_package_is_cheap() -> None:
    heavy = {"torch", "ray", "mlflow", "numpy", "pyarrow", "torchvision", "sklearn", "matplotlib"}
    assert not heavy & loaded_after("import prac; dir(prac); prac.__version__")
    assert not (heavy - {"numpy"}) & loaded_after("import prac; prac.get_recipe('digits')")


def test_the_core_knows_neither_ray_nor_mlflow() -> None:
    assert not {"ray", "mlflow"} & loaded_after("from prac import *")
