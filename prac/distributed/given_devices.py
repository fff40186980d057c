"""The device that Ray gave a task, by its place among those that its process sees.

Ray names a task's devices in CUDA_VISIBLE_DEVICES before it begins, and lets one process run many
tasks; CUDA reads the list once in a process. So tasks that ask for a device leave the list alone
(`LEFT_ALONE`, of the environment of their processes) and take theirs by its place in it. Seen in
Ray 2.60: `set_visible_accelerator_ids`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import ray

from prac.errors import PracError

LEFT_ALONE: Mapping[str, str] = {"RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}
"""Keeps Ray from naming a task's own devices alone to its process."""


def given_ids() -> list[str]:
    """The devices of the task that this process runs: numbers, or what the node's list has."""
    ids: list[str] = ray.get_runtime_context().get_accelerator_ids()["GPU"]
    return ids


def given_device() -> str:
    """`cuda:N` of the task that this process runs. Raises PracError where it was given none."""
    return f"cuda:{place_of(given_ids(), os.environ.get('CUDA_VISIBLE_DEVICES'))}"


def place_of(given: Sequence[str], visible: str | None) -> int:
    """The place of the first of some devices among those that a process sees.

    given: as `given_ids`. visible: CUDA_VISIBLE_DEVICES; without one, devices are counted through.
    Raises PracError where a process has none of them.
    """
    listed = [name.strip() for name in visible.split(",")] if visible else None
    places = [
        int(name) if listed is None else listed.index(name)
        for name in given
        if (name.isdecimal() if listed is None else name in listed)
    ]
    if not places:
        raise PracError(
            f"Ray gave the task the devices {', '.join(given) or 'none'}, and its process sees "
            f"{visible or 'all'}; is CUDA_VISIBLE_DEVICES set by somebody else?"
        )
    return min(places)
