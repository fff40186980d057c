"""From one encoded image to uint8 pixels: orientation, transparency, depth, mode and size."""

from __future__ import annotations

import io
import os
import re
import struct
import warnings
import zlib
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prac.data.memory import free_memory

# Pillow is needed for pictures only: arrays and the digits do without.
if TYPE_CHECKING:
    from PIL.Image import Image

Images = NDArray[np.uint8]

GROUND = 128
"""What transparent images are laid on: mid-grey, where black and white shapes both show."""

# Content decides, not the name. Pillow knows more, and some of those start other programs (EPS).
_FORMATS = (
    *("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP", "MPO", "JPEG2000", "AVIF", "DIB", "TGA"),
    *("ICO", "PCX"),
)
_GREY_MODES = ("1", "L", "LA", "La", "I", "F")
_DEEP_MODES = ("I", "F")  # and what begins so
_FULL_SCALES = (8, 10, 12, 14, 16)
ORIENTATION = 0x0112
"""The EXIF tag."""
TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""What each of its values asks of Pillow; any other asks nothing."""

_JPEG = b"\xff\xd8"
_PNG_EXTRAS = re.compile(b"tRNS|acTL|zTXt|iTXt|tEXt")
PNG = b"\x89PNG\r\n\x1a\n"

_CORRUPT = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True)
class Depth:
    """The range of all images of more than 8 bits of a data set, which is spread over 0 to 255.

    Whole numbers from 0 on are of the smallest usual number of bits that holds them all; floats
    from 0 to 1 are of that range. Anything else goes from `low` to `high`.
    """

    low: float
    high: float
    whole: bool

    def join(self, other: Depth) -> Depth:
        """The range of both."""
        low, high = min(self.low, other.low), max(self.high, other.high)
        return Depth(low, high, self.whole and other.whole)

    def __str__(self) -> str:
        return f"{self.bounds[0]:g} to {self.bounds[1]:g}"

    @property
    def bounds(self) -> tuple[float, float]:
        """What becomes 0 and what becomes 255."""
        if self.low < 0:
            return self.low, self.high
        if self.whole:
            return 0, 2**self._bits - 1
        return 0, next((top for top in (1, 255) if self.high <= top), self.high)

    @property
    def _bits(self) -> int:
        needed = int(self.high).bit_length()
        return next((bits for bits in _FULL_SCALES if bits >= needed), needed)

    def to_bytes(self, values: NDArray[np.generic]) -> Images:
        """uint8 of the same shape."""
        if self.whole and self.low >= 0:
            return (values.astype(np.int64) >> (self._bits - 8)).astype(np.uint8)
        low, high = self.bounds
        scaled = (values.astype(np.float64) - low) * (255 / ((high - low) or 1))
        clipped: Images = np.rint(scaled.clip(0, 255)).astype(np.uint8)
        return clipped


@dataclass
class Seen:
    """What images had that is told of: rows by what it was. Threads append to the lists.

    halved: the largest value of images with 16 bits in each colour, once the lower 8 are left out.
    """

    rotated: list[int] = field(default_factory=list)
    transparent: list[int] = field(default_factory=list)
    moving: list[int] = field(default_factory=list)
    deep: list[Depth] = field(default_factory=list)
    halved: list[int] = field(default_factory=list)

    @property
    def depth(self) -> Depth | None:
        """The range of all deep images."""
        return reduce(Depth.join, self.deep) if self.deep else None

    def notes(self) -> list[str]:
        """In words."""
        told: tuple[tuple[Sized, str], ...] = (
            (self.rotated, "images are turned as their EXIF orientation says"),
            (self.transparent, f"images are transparent and laid on mid-grey ({GROUND})"),
            (self.moving, "images have several frames, of which the first is taken"),
            (self.deep, f"images have more than 8 bits: {self.depth} became 0 to 255"),
            (self.halved, "images have 16 bits in each colour, of which the upper 8 are read"),
        )
        return [f"{len(rows)} {what}" for rows, what in told if rows]


def decode_image(
    encoded: bytes | Path,
    *,
    size: int | None,
    channels: int | None,
    depth: Depth | None = None,
    seen: Seen | None = None,
    row: int = 0,
) -> Images:
    """Decode one image to (H, W, C) uint8; C is `channels`, or 1 for grey and 3 for colour.

    size: the shorter side is resized to it and the centre cropped, to (size, size). depth: the
    range of deep images, by default its own. seen: where `row` is noted with what it had.
    Raises one of `corrupt_errors()` for what can't be decoded.
    """
    content = encoded.read_bytes() if isinstance(encoded, Path) else encoded
    seen = seen if seen is not None else Seen()
    with open_image(content) as opened:
        image: Image = opened
        _refuse_larger_than_memory(image)
        if not is_plain(content):
            if getattr(image, "is_animated", False) and image.format != "MPO":
                seen.moving.append(row)
            halved = _is_halved(image)
            image = _shallow(upright(image, seen, row), depth, seen)
            if halved:
                seen.halved.append(int(np.asarray(image.convert("RGB")).max()))
        return to_pixels(image, size, channels, seen=seen, row=row)


def to_pixels(
    image: Image, size: int | None, channels: int | None, *, seen: Seen, row: int = 0
) -> Images:
    """The same for an image of up to 8 bits that is open and upright."""
    grey = is_grey(image)
    image = _on_ground(image, seen, row)
    channels = channels or (1 if grey else 3)
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode:
        image = image.convert(mode)
    if size is not None:
        image = _resize_and_crop(image, size)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[..., np.newaxis] if channels == 1 else pixels


def is_plain(content: bytes) -> bool:
    """Whether an encoded image is one of 8 bits without transparency, orientation or frames, as
    nearly all are."""
    if not content.startswith(PNG):
        # Other segments may be in front of these; within the pixels they are but a false alarm.
        extras = b"Exif\0\0" in content or b"MPF\0" in content
        return content.startswith(_JPEG) and not extras
    if content[24:25] == b"\x10" or content[25:26] not in (b"\0", b"\2", b"\3"):
        return False
    if b"eXIf" in content:  # before the pixels or behind them
        return False
    end = content.find(b"IDAT")
    return not _PNG_EXTRAS.search(content, 0, end if end >= 0 else len(content))


@contextmanager
def quiet() -> Iterator[None]:
    """Without Pillow's warnings: what is wrong with an image is told in one line, or no matter."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


def is_deep(image: Image) -> bool:
    """Whether its pixels have more than 8 bits, as Pillow reads them."""
    return image.mode.startswith(_DEEP_MODES)


def is_grey(image: Image) -> bool:
    """Whether it has no colours; of a palette that isn't known."""
    return is_deep(image) or image.mode in _GREY_MODES


def corrupt_errors() -> tuple[type[Exception], ...]:
    """What Pillow raises for bytes that are cut short, forged, or no image."""
    from PIL.Image import DecompressionBombError

    return (*_CORRUPT, DecompressionBombError)


def open_image(content: bytes) -> Image:
    """An image of which only the head is read. Raises one of `corrupt_errors()`."""
    from PIL import Image, UnidentifiedImageError

    Image.preinit()
    try:
        return Image.open(io.BytesIO(content), formats=_loaded_formats())
    except UnidentifiedImageError:
        Image.init()  # the rarer formats, which take a quarter of a second to import
        return Image.open(io.BytesIO(content), formats=_loaded_formats())


def _loaded_formats() -> list[str]:
    from PIL import Image

    return [name for name in _FORMATS if name in Image.OPEN]


def _refuse_larger_than_memory(image: Image) -> None:
    # Four bytes a pixel, twice (decoded and converted), on each of a few threads.
    needed = image.width * image.height * 8 * min(8, os.cpu_count() or 1)
    free = free_memory() if needed > 1 << 28 else None
    if free is not None and needed > free:
        raise ValueError(f"{image.width}x{image.height} pixels are more than memory holds")


def _is_halved(image: Image) -> bool:
    """Whether an image that is not read yet has 16 bits in each of several channels, of which
    Pillow keeps the upper 8: it has no mode for them."""
    tiles = getattr(image, "tile", None)
    if is_deep(image) or not tiles:
        return False
    told = tiles[0][3]
    if image.format == "PPM" and isinstance(told, tuple):
        return bool(told[-1] == 65535)  # any other full scale is spread over 0 to 255
    return ";16" in str(told)


def upright(image: Image, seen: Seen, row: int = 0) -> Image:
    """Turned as its EXIF orientation says."""
    from PIL.Image import Transpose

    try:
        turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    except _CORRUPT:
        return image  # the pixels are good, only what is written beside them isn't
    if turn is None:
        return image
    seen.rotated.append(row)
    if image.format == "TIFF":  # Pillow turns these itself
        return image
    return image.transpose(Transpose[turn])


def _shallow(image: Image, depth: Depth | None, seen: Seen) -> Image:
    """An image of more than 8 bits as one of 8; Pillow's own conversion clips at 255."""
    if not is_deep(image):
        return image
    from PIL import Image as pillow

    values = np.asarray(image)
    if image.mode == "I" and _is_unsigned(image):
        values = values.view(np.uint32)
    if not np.isfinite(values).all():
        raise ValueError("pixels that are no numbers")
    whole = values.dtype.kind != "f"
    own = Depth(float(values.min()), float(values.max()), whole)
    seen.deep.append(own)
    return pillow.fromarray((depth or own).to_bytes(values))


def _is_unsigned(image: Image) -> bool:
    """Whether a TIFF of 32 bits has no negative numbers (tag 339: sample format 1)."""
    tags = getattr(image, "tag_v2", {})
    return tags.get(258) == (32,) and tags.get(339, (1,)) == (1,)


def _on_ground(image: Image, seen: Seen, row: int) -> Image:
    if not image.has_transparency_data:
        return image
    from PIL import Image as pillow

    layer = image.convert("RGBA")
    if layer.getchannel("A").getextrema() == (255, 255):
        return image
    seen.transparent.append(row)
    ground = pillow.new("RGBA", layer.size, (GROUND, GROUND, GROUND, 255))
    return pillow.alpha_composite(ground, layer).convert("RGB")


def _resize_and_crop(image: Image, size: int) -> Image:
    from PIL.Image import Resampling

    shorter = min(image.size)
    if shorter != size:
        width, height = (size * side // shorter for side in image.size)
        image = image.resize((width, height), Resampling.BILINEAR)
    left, top = ((side - size) // 2 for side in image.size)
    return image.crop((left, top, left + size, top + size))
