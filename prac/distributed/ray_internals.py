"""What of Ray's inside is used, because no public name does it. Seen in Ray 2.54 to 2.60."""

from __future__ import annotations

import os
from typing import Any

import ray
from ray._private import ray_constants

from prac.errors import PracError

_SWITCH = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
_constants: Any = ray_constants


def bind_loopback_only() -> None:
    """Let what `ray.init` starts listen on loopback alone, unless the environment says otherwise.

    Ray binds every interface on Linux unless it thinks it is on a laptop's system. It has read the
    variable when it was imported, which nobody can order, so the constant is set too.
    Raises PracError where Ray has it no more: a port that is open to the network must not be.
    """
    os.environ.setdefault(_SWITCH, "0")
    if not hasattr(_constants, "ENABLE_RAY_CLUSTER"):
        raise PracError(
            f"Ray {ray.__version__} can't be kept to loopback; use another version, or a cluster "
            "that RAY_ADDRESS names"
        )
    _constants.ENABLE_RAY_CLUSTER = os.environ[_SWITCH] != "0"


def cause_of(failure: Exception) -> BaseException:
    """What a Ray Train worker's own code raised, out of the wrapping that Ray sends it in."""
    cause: BaseException = getattr(failure, "_base_exc", failure)
    return cause
