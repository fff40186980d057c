"""From encoded images to uint8 arrays: one mode, one size, in the order they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from prac.data.memory import refuse_larger_than_memory
from prac.data.pixels import Depth, Images, Seen, corrupt_errors, decode_image, quiet, to_pixels
from prac.data.refusals import other_sizes, refuse_unread
from prac.errors import ConfigError
from prac.machine import available_cpus

Encoded = bytes | Path | Callable[[], bytes] | None
Shape = tuple[int, int, int]

_BATCH_IMAGES = 256
_LOST = 64


@quiet()
def decode_images(
    encoded: Callable[[], Iterable[Encoded]],
    count: int,
    *,
    size: int | None,
    channels: int | None,
    source: str,
    describe: Callable[[int], str],
    depth: Depth | None = None,
) -> tuple[Images, Seen]:
    """Decode `count` images to (count, H, W, C) uint8, in order, on a pool of threads.

    encoded: starts the images from the first one; bytes, a path, a function that reads them, or
    None where there is no image. channels: None makes all grey images 1 channel, and any with a
    colour one among them 3. describe: where image i comes from (`train row 7`), for errors.
    Returns what the images had that is to be told, too.
    Raises ConfigError that counts and names the images that are absent, can't be decoded, or
    differ in size while no `size` is given; and where memory can't hold them.
    """
    first = _first_shape(encoded(), size=size, channels=channels)
    refuse_larger_than_memory(count, first or (1, 1, 1), source)
    images: Images = np.empty((count, *(first or (1, 1, 1))), dtype=np.uint8)
    one = _Pass(images, size=size, channels=channels, depth=depth, failed=first is None)

    def again(**changes: Any) -> tuple[Images, Seen]:
        options = {"size": size, "channels": channels, "depth": depth, **changes}
        return decode_images(encoded, count, source=source, describe=describe, **options)

    if not all(_in_threads(one.decode, encoded())):
        return again(channels=3)
    refuse_unread(source, count, one.absent, one.corrupt, describe)
    if one.other_sizes:
        index, width, height = min(one.other_sizes)
        usual, other = (images.shape[2], images.shape[1]), (describe(index), width, height)
        raise other_sizes(source, len(one.other_sizes), count, usual, other)
    _refuse_lost(one.seen.halved, source)
    _refuse_two_kinds(one.seen.deep, source)
    shared = one.seen.depth
    if shared is not None and shared != depth:
        return again(depth=shared)  # one range for all: how bright they are stays comparable
    return images, one.seen


def _refuse_lost(largest: list[int], source: str) -> None:
    """Colours of 10 to 14 bits in 16 have most of theirs in the lower 8, which are not read."""
    if largest and max(largest) < _LOST:
        raise ConfigError(
            f"{source}: {len(largest)} images have 16 bits in each colour, of which only the "
            f"upper 8 can be read, and there the largest value is {max(largest)} of 255; allowed: "
            "colours of 8 bits, or grey images"
        )


def _refuse_two_kinds(deep: list[Depth], source: str) -> None:
    """Floats have a scale of their own, most often 0 to 1: of one range with whole numbers, they
    would be black."""
    whole = sum(depth.whole for depth in deep)
    if 0 < whole < len(deep):
        raise ConfigError(
            f"{source}: {len(deep) - whole} images are of floats, {whole} of whole numbers of more "
            "than 8 bits; allowed: one kind of them"
        )


class _Pass:
    """One decoding of all images into an array; the lists are of rows that can't be in it."""

    def __init__(self, images: Images, *, failed: bool, **options: Any) -> None:
        self._images, self._failed, self._options = images, failed, options
        self.absent: list[int] = []
        self.corrupt: list[int] = []
        self.other_sizes: list[tuple[int, int, int]] = []
        self.seen = Seen()

    def decode(self, start: int, batch: list[Encoded]) -> bool:
        """Whether they all fit: False for a colour image where the array is for grey ones."""
        return all(self._decode(index, item) for index, item in enumerate(batch, start))

    def _decode(self, index: int, item: Encoded) -> bool:
        if item is None:
            self.absent.append(index)
            return True
        try:
            content = item() if callable(item) else item
            image = decode_image(content, **self._options, seen=self.seen, row=index)
        except ConfigError:  # of the reader: the file is another than it was
            raise
        except corrupt_errors():
            self.corrupt.append(index)
            return True
        if self._failed:
            return True
        if image.shape[:2] != self._images.shape[1:3]:
            self.other_sizes.append((index, image.shape[1], image.shape[0]))
        elif image.shape[2] > self._images.shape[3]:
            return False
        else:
            self._images[index] = image
        return True


def convert_images(images: Images, *, size: int | None, channels: int | None) -> Images:
    """Resize, crop and convert (N, H, W, C) uint8 as `decode_images` does; see `shape_after`."""
    shape = shape_after((images.shape[1], images.shape[2], images.shape[3]), size, channels)
    if shape == images.shape[1:]:
        return images
    refuse_larger_than_memory(len(images), shape, "data")
    from PIL import Image  # arrays of the right shape do without

    converted: Images = np.empty((len(images), *shape), dtype=np.uint8)
    for row, pixels in enumerate(images):
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        converted[row] = to_pixels(image, size, channels, seen=Seen())
    return converted


def shape_after(shape: Shape, size: int | None, channels: int | None) -> Shape:
    """(H, W, C) of an image of `shape` once it is resized to `size` and converted."""
    height, width, native = shape
    return size or height, size or width, channels or native


@quiet()
def _first_shape(
    encoded: Iterable[Encoded], *, size: int | None, channels: int | None
) -> Shape | None:
    """(H, W, C) of the first image that can be decoded; None where none can."""
    for item in encoded:
        if item is not None:
            try:
                content = item() if callable(item) else item
                height, width, native = decode_image(content, size=size, channels=channels).shape
            except ConfigError:
                raise
            except corrupt_errors():
                continue  # counted and named with all others, when all are decoded
            return height, width, native
    return None


def _in_threads(
    work: Callable[[int, list[Encoded]], bool], items: Iterable[Encoded]
) -> Iterator[bool]:
    """Give `work` batches of items; only a few batches are in memory at a time."""
    num_workers = min(8, available_cpus())
    iterator = iter(items)
    pending: deque[Future[Any]] = deque()
    start = 0
    with ThreadPoolExecutor(num_workers) as pool:
        while batch := list(islice(iterator, _BATCH_IMAGES)):
            pending.append(pool.submit(work, start, batch))
            start += len(batch)
            if len(pending) > 2 * num_workers:
                yield pending.popleft().result()
        for future in pending:
            yield future.result()
