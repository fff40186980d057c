"""Random streams that are a function of what they are for, never of the process's past."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from prac.fingerprint import fingerprint

_MASK = 2**64 - 1
_GAMMA = 0x9E3779B97F4A7C15


def derived_seed(seed: int, *purpose: int | str) -> int:
    """A 63-bit seed for one purpose, independent of those for others."""
    return int(fingerprint((seed, *purpose))[:16], 16) >> 1


def generator(seed: int, *purpose: int | str) -> torch.Generator:
    """A CPU generator for one purpose: the same numbers on every device."""
    return torch.Generator().manual_seed(derived_seed(seed, *purpose))


def counted_seed(seed: int, *counters: int) -> int:
    """A 64-bit seed for these counters, where a hash for each would be slow.

    For every counter n, output n of the SplitMix64 generator with this seed (Steele, Lea and Flood
    2014, doi:10.1145/2660193.2660195), which seeds the next: 1 us for two, a hash takes 8.
    """
    for counter in counters:
        seed = (seed + (counter + 1) * _GAMMA) & _MASK
        seed = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        seed = (seed ^ (seed >> 27)) * 0x94D049BB133111EB & _MASK
        seed ^= seed >> 31
    return seed


@contextlib.contextmanager
def generators_kept(device: torch.device) -> Iterator[None]:
    """Put torch's global generators of the processor and of `device` back afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield


def seed_generators(device: torch.device, seed: int) -> None:
    """Seed torch's global generators of the processor and of `device`, and no other device's.

    That is 1 us a generator; `torch.manual_seed` takes 150 and moves every device's. A CUDA graph
    that is replayed next draws by this seed: torch hands a registered generator's seed and offset
    to the graph at each replay ("Note [CUDA Graph-safe RNG states]" in its sources), and the
    default generators are always registered.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        torch.cuda.default_generators[index].manual_seed(seed)
