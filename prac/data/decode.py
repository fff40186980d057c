"""From encoded images to uint8 arrays: one mode, one size, in the order they come."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prac.errors import ConfigError

# Pillow is needed for pictures only: arrays and the digits do without.
if TYPE_CHECKING:
    from PIL.Image import Image

Encoded = bytes | Path | None
Images = NDArray[np.uint8]
Shape = tuple[int, int, int]

GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F")
NUM_NAMED = 5
"""How many rows an error names."""

_BATCH_IMAGES = 256
# Pillow's decoders raise these for bytes that are cut short or aren't an image.
_CORRUPT = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)


def decode_image(encoded: bytes | Path, *, size: int | None, channels: int | None) -> Images:
    """Decode one image to (H, W, C) uint8; C is `channels`, or 1 for grey and 3 for colour.

    size: the shorter side is resized to it and the centre cropped, to (size, size).
    Raises OSError, SyntaxError or ValueError for what can't be decoded.
    """
    from PIL import Image

    with Image.open(encoded if isinstance(encoded, Path) else io.BytesIO(encoded)) as image:
        return _to_array(image, size, channels)


def decode_images(
    encoded: Callable[[], Iterable[Encoded]],
    count: int,
    *,
    size: int | None,
    channels: int | None,
    source: str,
    describe: Callable[[int], str],
) -> Images:
    """Decode `count` images to (count, H, W, C) uint8, in order, on a pool of threads.

    encoded: starts the images from the first one; bytes, a path, or None where there is no image.
    channels: None makes all grey images 1 channel, and any with a colour one among them 3.
    describe: where image i comes from (`train row 7`), for errors.
    Raises ConfigError that counts and names the images that are absent, can't be decoded, or
    differ in size while no `size` is given.
    """
    first = first_shape(encoded(), size=size, channels=channels)
    images: Images = np.empty((count, *(first or (1, 1, 1))), dtype=np.uint8)
    absent: list[int] = []
    corrupt: list[int] = []
    other_sizes: list[tuple[int, int, int]] = []
    failed = first is None

    def decode_batch(start: int, batch: list[Encoded]) -> bool:
        for index, item in enumerate(batch, start):
            if item is None:
                absent.append(index)
                continue
            try:
                image = decode_image(item, size=size, channels=channels)
            except _corrupt_errors():
                corrupt.append(index)
                continue
            if failed:
                continue
            if image.shape[:2] != images.shape[1:3]:
                other_sizes.append((index, image.shape[1], image.shape[0]))
            elif image.shape[2] > images.shape[3]:
                return False
            else:
                images[index] = image
        return True

    if not all(_in_threads(decode_batch, encoded())):
        return decode_images(
            encoded, count, size=size, channels=3, source=source, describe=describe
        )
    _refuse_any(absent, f"of {count} images are null", source, describe)
    _refuse_any(corrupt, f"of {count} images can't be decoded", source, describe)
    if other_sizes:
        index, width, height = min(other_sizes)
        raise ConfigError(
            f"{source}: {len(other_sizes)} of {count} images are not {images.shape[2]}x"
            f"{images.shape[1]} as the first is (e.g. {describe(index)} is {width}x{height}); "
            "allowed: images of one size, or data.image_size to resize them"
        )
    return images


def convert_images(images: Images, *, size: int | None, channels: int | None) -> Images:
    """Resize, crop and convert (N, H, W, C) uint8 as `decode_images` does; see `shape_after`."""
    shape = shape_after((images.shape[1], images.shape[2], images.shape[3]), size, channels)
    if shape == images.shape[1:]:
        return images
    from PIL import Image

    converted: Images = np.empty((len(images), *shape), dtype=np.uint8)
    for row, pixels in enumerate(images):
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        converted[row] = _to_array(image, size, channels)
    return converted


def shape_after(shape: Shape, size: int | None, channels: int | None) -> Shape:
    """(H, W, C) of an image of `shape` once it is resized to `size` and converted."""
    height, width, native = shape
    return size or height, size or width, channels or native


def first_shape(
    encoded: Iterable[Encoded], *, size: int | None, channels: int | None
) -> Shape | None:
    """(H, W, C) of the first image that can be decoded; None where none can."""
    for item in encoded:
        if item is not None:
            try:
                height, width, native = decode_image(item, size=size, channels=channels).shape
            except _corrupt_errors():
                continue  # counted and named with all others, when all are decoded
            return height, width, native
    return None


def name_some(indices: Iterable[int], describe: Callable[[int], str]) -> str:
    """The first few, by name: `train row 1, train row 7, ...`."""
    named = [describe(int(index)) for index in islice(indices, NUM_NAMED + 1)]
    return ", ".join([*named[:NUM_NAMED], *(["..."] if len(named) > NUM_NAMED else [])])


def _refuse_any(indices: list[int], what: str, source: str, describe: Callable[[int], str]) -> None:
    if indices:
        raise ConfigError(
            f"{source}: {len(indices)} {what} ({name_some(sorted(indices), describe)}); "
            "allowed: whole image files"
        )


def _to_array(image: Image, size: int | None, channels: int | None) -> Images:
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips at 255 instead of scaling.
        from PIL import Image as pillow

        image = pillow.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    channels = channels or (1 if image.mode in GREY_MODES else 3)
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode:
        image = image.convert(mode)
    if size is not None:
        image = _resize_and_crop(image, size)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[..., np.newaxis] if channels == 1 else pixels


def _resize_and_crop(image: Image, size: int) -> Image:
    from PIL.Image import Resampling

    shorter = min(image.size)
    if shorter != size:
        width, height = (size * side // shorter for side in image.size)
        image = image.resize((width, height), Resampling.BILINEAR)
    left, top = ((side - size) // 2 for side in image.size)
    return image.crop((left, top, left + size, top + size))


def _corrupt_errors() -> tuple[type[Exception], ...]:
    from PIL.Image import DecompressionBombError

    return (*_CORRUPT, DecompressionBombError)


def _in_threads(
    work: Callable[[int, list[Encoded]], bool], items: Iterable[Encoded]
) -> Iterator[bool]:
    """Give `work` batches of items; only a few batches are in memory at a time."""
    num_workers = min(8, os.cpu_count() or 1)
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
