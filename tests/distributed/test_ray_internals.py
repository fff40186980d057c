"""Ray's inside is where the adapter looks for it; a Ray without it fails here first."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import pytest
import ray
from ray._private import ray_constants, worker
from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer
from ray.train.v2._internal import exceptions

from prac.distributed.dense import DenseTrainer
from prac.distributed.ray_internals import bind_loopback_only, cause_of, forget_uv, hush
from prac.errors import PracError

SEEN = f"Ray {ray.__version__} differs from 2.54 and 2.60, in which it was seen: "


def test_ray_still_decides_by_a_constant_which_interfaces_it_binds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert hasattr(ray_constants, "ENABLE_RAY_CLUSTER"), SEEN + "ray_constants.ENABLE_RAY_CLUSTER"
    assert ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR == "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", True)
    monkeypatch.delenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", raising=False)
    bind_loopback_only()
    assert ray_constants.ENABLE_RAY_CLUSTER is False
    monkeypatch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "1")
    bind_loopback_only()
    assert ray_constants.ENABLE_RAY_CLUSTER is True


def test_a_ray_without_the_constant_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ray_constants, "ENABLE_RAY_CLUSTER")
    with pytest.raises(PracError, match="can't be kept to loopback"):
        bind_loopback_only()


def test_ray_still_decides_by_a_constant_whether_uv_run_uploads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "RAY_ENABLE_UV_RUN_RUNTIME_ENV"
    assert hasattr(ray_constants, name), SEEN + f"ray_constants.{name}"
    monkeypatch.setattr(ray_constants, name, True)
    forget_uv()
    assert getattr(ray_constants, name) is False


def test_ray_still_prints_what_is_pushed_to_it_by_one_function(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = inspect.getsource(worker.listen_error_messages)
    assert "print_to_stdstream(" in source, SEEN + "worker.print_to_stdstream"
    monkeypatch.setattr(worker, "print_to_stdstream", worker.print_to_stdstream)
    hush()
    worker.print_to_stdstream({"lines": ["4 processes"], "pid": "raylet", "is_err": False})
    assert capsys.readouterr() == ("", "")


def test_the_wrapped_error_of_a_worker_is_still_inside() -> None:
    wrapped = exceptions.UserExceptionWithTraceback(PracError("no such image"), "Traceback ...")
    found = cause_of(copy.copy(wrapped))  # by `__reduce__`, as Ray sends it
    assert isinstance(found, PracError), SEEN + "UserExceptionWithTraceback._base_exc"
    assert str(found) == "no such image"
    other = ValueError("of a process that died")
    assert cause_of(other) is other


def test_ray_train_still_has_a_process_for_datasets_that_can_be_left_out() -> None:
    options: dict[str, Any] = {"scaling_config": ScalingConfig(num_workers=1)}
    names, ours = (
        [type(callback).__name__ for callback in made(print, **options)._create_default_callbacks()]
        for made in (TorchTrainer, DenseTrainer)
    )
    assert "DatasetsCallback" in names, SEEN + "DatasetsCallback"
    names.remove("DatasetsCallback")
    assert ours == names
