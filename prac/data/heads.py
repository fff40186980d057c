"""What the heads of encoded images tell, before any is decoded."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from prac.data.pixels import (
    GROUND,
    ORIENTATION,
    PNG,
    TURNS,
    corrupt_errors,
    is_deep,
    is_grey,
    is_plain,
    open_image,
    quiet,
)
from prac.data.refusals import other_sizes, refuse_unread

CARED = {"decoding": 2}
"""In fingerprints of images of which some are changed so: other pixels came of them before."""

TURNED = "turned as their EXIF orientation says"
CLEAR = f"laid on mid-grey ({GROUND}) where they are transparent"
DEEP = "brought to 8 bits"


@dataclass(frozen=True, kw_only=True)
class Head:
    """Of one image. width, height: once it is upright. changes: of `TURNED`, `CLEAR`, `DEEP`, as
    is told. cared: whether it counts as `CARED`, which no words may change."""

    width: int
    height: int
    grey: bool
    changes: tuple[str, ...] = ()
    cared: bool = False


@quiet()
def head_of(content: bytes) -> Head | None:
    """None for what is refused when it is decoded."""
    plain = is_plain(content)
    if plain and content.startswith(PNG):
        # Many data sets are of these, and Pillow takes fifty times as long.
        width, height, _, colours = struct.unpack(">IIBB", content[16:26])
        return Head(width=width, height=height, grey=colours == 0)
    try:
        with open_image(content) as image:
            turn = 1 if plain else image.getexif().get(ORIENTATION, 1)
            found = {
                TURNED: turn in TURNS,
                CLEAR: not plain and image.has_transparency_data,
                DEEP: is_deep(image),
            }
            # Pillow turns TIFF files itself.
            is_aside = turn in (5, 6, 7, 8) and image.format != "TIFF"
            width, height = reversed(image.size) if is_aside else image.size
            changes = tuple(what for what, applies in found.items() if applies)
            # An orientation that is none turns nothing; its data sets keep the keys they have.
            cared = turn != 1 or bool(changes)
            return Head(
                width=width, height=height, grey=is_grey(image), changes=changes, cared=cared
            )
    except corrupt_errors():
        return None


class Heads:
    """The images of a data set, one after the other.

    size, channels: as in `decode_images`.
    """

    def __init__(self, *, size: int | None, channels: int | None) -> None:
        self.cared = False  # whether any image is
        self._changed: dict[str, tuple[int, str]] = {}  # how many, and where the first is
        self._size, self._channels = size, channels
        self._first: Head | None = None
        self._other: tuple[str, Head] | None = None
        self._num_others = self._count = 0
        self._absent: dict[int, Callable[[], str]] = {}
        self._corrupt: dict[int, Callable[[], str]] = {}

    def see(self, content: bytes | None, where: Callable[[], str]) -> None:
        """The next. where: names it."""
        self._count += 1
        head = None if content is None else head_of(content)
        if head is None:
            (self._absent if content is None else self._corrupt)[self._count] = where
            return
        self.cared |= head.cared
        for what in head.changes:
            count, place = self._changed.get(what) or (0, where())
            self._changed[what] = count + 1, place
        first = self._first = self._first or head
        if not head.grey:
            self._channels = self._channels or 3
        if self._size is None and (head.width, head.height) != (first.width, first.height):
            self._num_others += 1
            self._other = self._other or (where(), head)

    def shape(self, source: str) -> tuple[int, int, int] | None:
        """(H, W, C) of all as they will be decoded; None where there are none.

        Raises ConfigError for images that are null or no images, and for images of different sizes
        without a `size`.
        """
        unread = self._absent | self._corrupt
        refuse_unread(source, self._count, self._absent, self._corrupt, lambda at: unread[at]())
        if self._first is None:
            return None
        first = self._first.width, self._first.height
        if self._other is not None:
            where, head = self._other
            other = where, head.width, head.height
            raise other_sizes(source, self._num_others, self._count, first, other)
        width, height = (self._size, self._size) if self._size else first
        return height, width, self._channels or 1

    @property
    def notes(self) -> tuple[str, ...]:
        """What is told before they are decoded."""
        return tuple(
            f"{count} images are {what}, {place} to begin with"
            for what, (count, place) in self._changed.items()
        )
