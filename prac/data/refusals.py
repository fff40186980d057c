"""What is said of images and rows that can't be used: counted, and the first few named."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from itertools import islice

from prac.errors import ConfigError

NUM_NAMED = 5
"""How many rows an error names."""


def name_some(indices: Iterable[int], describe: Callable[[int], str]) -> str:
    """The first few, by name: `train row 1, train row 7, ...`."""
    named = [describe(int(index)) for index in islice(indices, NUM_NAMED + 1)]
    return ", ".join([*named[:NUM_NAMED], *(["..."] if len(named) > NUM_NAMED else [])])


def refuse_unread(
    source: str,
    count: int,
    absent: Collection[int],
    corrupt: Collection[int],
    describe: Callable[[int], str],
) -> None:
    """Raises ConfigError where there are numbers of images that are null, or can't be decoded."""
    for indices, what in ((absent, "are null"), (corrupt, "can't be decoded")):
        if indices:
            raise ConfigError(
                f"{source}: {len(indices)} of {count} images {what} "
                f"({name_some(sorted(indices), describe)}); allowed: whole image files"
            )


class OtherSizesError(ConfigError):
    """Images of different sizes, and none is named to bring them to."""


def other_sizes(
    source: str, others: int, count: int, first: tuple[int, int], other: tuple[str, int, int]
) -> OtherSizesError:
    """The error for images of different sizes. first, other: width and height."""
    where, width, height = other
    return OtherSizesError(
        f"{source}: {others} of {count} images are not {first[0]}x{first[1]} as the first is "
        f"(e.g. {where} is {width}x{height}); allowed: images of one size, or data.image_size: "
        "the shorter side becomes that long, and the middle is taken"
    )
