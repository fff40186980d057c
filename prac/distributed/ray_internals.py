"""What of Ray's inside is used, because no public name does it. Seen in Ray 2.54 to 2.60."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import ray
from ray._private import ray_constants, services, utils, worker

from prac.errors import PracError

_SWITCH = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
_constants: Any = ray_constants
_services: Any = services
_utils: Any = utils
_worker: Any = worker


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


def let_be_found() -> None:
    """Note the cluster's address where its processes look for it, as `ray start` does: Ray Train
    asks after its controller's health there, and waits 12 s at its end for an answer."""
    _utils.write_ray_address(ray.get_runtime_context().gcs_address)


def forget_uv() -> None:
    """Have Ray upload nothing where this process was started by `uv run`.

    Ray sees that, and sends its workers the whole working folder to build the same environment
    from: workers of this machine have it already, and beside a large file the upload fails.
    """
    _constants.RAY_ENABLE_UV_RUN_RUNTIME_ENV = False


def hush() -> None:
    """Keep what a cluster's processes say out of what a run prints: `log_to_driver` lets pass what
    they push as errors, such as advice on how many processes have started."""
    _worker.print_to_stdstream = lambda *_, **__: None


def head_address(address: str) -> tuple[str, int]:
    """Where `ray.init` will ask for the cluster that an address or "auto" names: a host, a port.

    Ray asks this machine's outer address for a cluster that is named by a loopback one. Raises
    ValueError or ConnectionError where nothing is named.
    """
    found = address.partition("://")[2] if "://" in address else None
    found = found or _services.canonicalize_bootstrap_address(address)
    host, _, port = str(found).rpartition(":")
    return host.strip("[]"), int(port)


_ASK = """
import sys
from ray._raylet import GcsClient
print(flush=True)
GcsClient(address=sys.argv[1])
"""


def ask_head(address: str, *, seconds: float = 10) -> str | None:
    """What is wrong with what answers at an address: None where it is a cluster's head.

    Asked in a process of its own, which can be ended: Ray tries for a quarter of an hour, and
    writes to standard error what no logger can keep back.
    """
    words = [sys.executable, "-c", _ASK, address]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as asked:
        assert asked.stdout is not None
        asked.stdout.readline()  # it has imported Ray, which takes what it takes
        try:
            said = asked.communicate(timeout=seconds)[1]
        except subprocess.TimeoutExpired:
            asked.kill()
            said = f"{asked.communicate()[1]}\nno answer in {seconds:g} s"
        return said if asked.returncode else None


def cause_of(failure: Exception) -> BaseException:
    """What a Ray Train worker's own code raised, out of the wrapping that Ray sends it in."""
    cause: BaseException = getattr(failure, "_base_exc", failure)
    return cause
