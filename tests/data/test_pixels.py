"""Pixels of every kind that people have, against values worked out by hand or by numpy."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from prac.data.decode import decode_images
from prac.data.heads import CLEAR, DEEP, TURNED, Head, head_of
from prac.data.pixels import GROUND, Depth, decode_image
from prac.errors import ConfigError

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 256, (6, 4, 3), dtype=np.uint8)
GREY = RNG.integers(0, 256, (6, 4), dtype=np.uint8)


def encode(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decode(encoded: list, **options):
    options = {"size": None, "channels": None} | options
    return decode_images(lambda: iter(encoded), len(encoded), source="toy", describe=str, **options)


def pgm(values: np.ndarray) -> bytes:
    height, width = values.shape
    return f"P5 {width} {height} 65535\n".encode() + values.astype(">u2").tobytes()


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("make", [pgm, lambda v: encode(Image.fromarray(v), "TIFF")])
def test_deep_grey_keeps_its_contrast(bits: int, make) -> None:
    values = RNG.integers(0, 2**bits, (3, 6, 4)).astype(np.uint16)
    values[0, 0, 0] = 2**bits - 1
    images, seen = decode([make(v) for v in values])
    expected = values.astype(float) / (2**bits - 1) * 255
    assert np.abs(images[..., 0] - expected).max() <= 1
    assert seen.notes() == [f"3 images have more than 8 bits: 0 to {2**bits - 1} became 0 to 255"]


def test_a_dark_deep_image_stays_darker_than_a_bright_one() -> None:
    dark, bright = (np.full((2, 2), v, dtype=np.uint16) for v in (1_000, 60_000))
    images, _ = decode([pgm(dark), pgm(bright)])
    assert images[:, 0, 0, 0].tolist() == [1_000 >> 8, 60_000 >> 8]


def test_big_endian_signed_and_32_bit_tiffs() -> None:
    values = np.array([[0, 70_000], [35_000, 17_500]])
    whole = encode(Image.fromarray(values.astype(np.int32)), "TIFF")
    assert decode([whole])[0][0, ..., 0].tolist() == [[0, 70_000 >> 9], [35_000 >> 9, 17_500 >> 9]]
    signed = encode(Image.fromarray(np.array([[-100, 100]], np.int32)), "TIFF")
    assert decode([signed])[0].ravel().tolist() == [0, 255]
    rows = np.array([[0, 65_535]], dtype=">u2").tobytes()
    tags = [(256, 2), (257, 1), (258, 16), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1)]
    tags.append((279, len(rows)))
    directory = struct.pack(">H", len(tags))
    directory += b"".join(struct.pack(">HHIHH", t, 3, 1, v, 0) for t, v in tags)
    big = b"MM\0*" + struct.pack(">I", 12) + rows + directory + bytes(4)
    assert decode([big])[0].ravel().tolist() == [0, 255]


@pytest.mark.parametrize(("top", "low"), [(1.0, 0.0), (255.0, 0.0), (3.0, -1.0)])
def test_floats_are_spread_over_their_range(top: float, low: float) -> None:
    values = np.linspace(low, top, 24, dtype=np.float32).reshape(6, 4)
    images, _ = decode([encode(Image.fromarray(values), "TIFF")])
    expected = np.rint((values - low) / (top - low) * 255)
    assert np.abs(images[0, ..., 0] - expected).max() <= 1


def test_floats_that_are_no_numbers_are_refused() -> None:
    values = np.full((2, 2), np.nan, dtype=np.float32)
    with pytest.raises(ConfigError, match="1 of 1 images can't be decoded"):
        decode([encode(Image.fromarray(values), "TIFF")])


def test_a_range_is_of_all_images() -> None:
    joined = Depth(0, 900, True).join(Depth(5, 4000, True))
    assert joined.bounds == (0, 4095)
    assert str(Depth(0, 0.5, False)) == "0 to 1"


@pytest.mark.parametrize("top", [1, 255, 65_535])
def test_floats_beside_deep_whole_numbers_are_refused(top: float) -> None:
    """Spread over one range, the floats of 0 to 1 would be black."""
    floats = encode(Image.fromarray(np.array([[0.5, top]], dtype=np.float32)), "TIFF")
    whole = pgm(np.array([[0, 60_000]], dtype=np.uint16))
    told = r"1 images are of floats, 2 of whole numbers of more than 8 bits; allowed: one kind"
    with pytest.raises(ConfigError, match=told):
        decode([whole, floats, whole])


def test_transparency_is_laid_on_a_ground_and_told() -> None:
    alpha = RNG.integers(0, 256, (6, 4), dtype=np.uint8)
    alpha[0, 0] = 0
    for pixels, mode in ((COLOUR, "RGBA"), (GREY[..., None], "LA")):
        layer = Image.fromarray(np.dstack([pixels, alpha]), mode)
        images, seen = decode([encode(layer)])
        share = alpha[..., None] / 255
        expected = pixels * share + GROUND * (1 - share)
        assert np.abs(images[0] - expected).max() <= 1
        assert seen.notes() == [f"1 images are transparent and laid on mid-grey ({GROUND})"]


def test_shapes_that_only_alpha_draws_differ() -> None:
    """Icons: black (or white) all over, and drawn by transparency alone."""
    for colour in (0, 255):
        layers = np.full((2, 6, 4, 4), colour, dtype=np.uint8)
        layers[..., 3] = 0
        layers[0, :3, :, 3] = layers[1, 3:, :, 3] = 255
        images, _ = decode([encode(Image.fromarray(layer)) for layer in layers])
        assert (images[0] != images[1]).all()
        assert set(np.unique(images)) == {colour, GROUND}


def test_a_palette_with_a_transparent_colour() -> None:
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    image.putpalette([0, 0, 0, 9, 8, 7])
    images, _ = decode([encode(image, transparency=0)])
    assert images[0, 0].tolist() == [[GROUND] * 3, [9, 8, 7]]


def _late(kind: str) -> bytes:
    """With its orientation where a file seldom has it: far behind, or after the pixels."""
    exif = Image.Exif()
    exif[0x0112] = 6
    if kind == "JPEG":
        content = encode(Image.fromarray(COLOUR), kind, exif=exif)
        return content[:2] + b"\xff\xed" + struct.pack(">H", 5002) + bytes(5000) + content[2:]
    tags = b"eXIf" + exif.tobytes()[6:]
    chunk = struct.pack(">I", len(tags) - 4) + tags + struct.pack(">I", zlib.crc32(tags))
    content = encode(Image.fromarray(COLOUR), kind)
    return content[:-12] + chunk + content[-12:]


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_orientation_that_is_told_late_is_applied(kind: str) -> None:
    content = _late(kind)
    images, seen = decode([content])
    stored = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(images[0], np.rot90(stored, -1))
    assert seen.notes() == ["1 images are turned as their EXIF orientation says"]
    head = head_of(content)
    assert head is not None
    assert (head.width, head.height, head.cared) == (6, 4, True)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_orientation_is_applied_and_told(orientation: int, kind: str) -> None:
    """What a viewer shows, from the table of the EXIF standard."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(Image.fromarray(COLOUR), kind, exif=exif)
    images, seen = decode([content])
    shown = {
        1: COLOUR,
        2: COLOUR[:, ::-1],
        3: COLOUR[::-1, ::-1],
        4: COLOUR[::-1],
        5: COLOUR.transpose(1, 0, 2),
        6: COLOUR[::-1].transpose(1, 0, 2),
        7: COLOUR[::-1, ::-1].transpose(1, 0, 2),
        8: COLOUR[:, ::-1].transpose(1, 0, 2),
    }[orientation]
    np.testing.assert_array_equal(images[0], shown)
    assert len(seen.notes()) == (orientation != 1)
    width, height = (6, 4) if orientation > 4 else (4, 6)
    changes = (TURNED,) if orientation != 1 else ()
    cared = orientation != 1
    assert head_of(content) == Head(
        width=width, height=height, grey=False, changes=changes, cared=cared
    )


def test_other_modes() -> None:
    bits = Image.fromarray(GREY > 128)
    assert set(np.unique(decode([encode(bits)])[0])) == {0, 255}
    ink = Image.fromarray(np.full((2, 2, 4), [255, 0, 0, 0], np.uint8), "CMYK")
    assert decode([encode(ink, "TIFF")])[0][0, 0, 0].tolist() == [0, 255, 255]
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    moving = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    images, seen = decode([moving])
    assert images.shape == (1, 6, 4, 3)
    np.testing.assert_array_equal(images[0, ..., 0], GREY)
    assert seen.notes() == ["1 images have several frames, of which the first is taken"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "PPM", "WEBP", "JPEG2000"])
def test_heads_tell_what_decoding_gives(kind: str) -> None:
    tried = 0
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"):
        try:
            content = encode(Image.new(mode, (5, 3)), kind)
        except (OSError, KeyError, ValueError):
            continue  # Pillow writes no such
        images, seen = decode([content])
        head = head_of(content)
        assert head is not None
        assert (head.height, head.width, 1 if head.grey else 3) == images.shape[1:], mode
        assert len(head.changes) >= len(seen.notes()), mode
        tried += 1
    assert tried >= 3


def test_plain_images_need_no_care() -> None:
    plain = (encode(Image.fromarray(COLOUR)), encode(Image.fromarray(GREY), "JPEG"))
    assert not any(head is None or head.changes for head in map(head_of, plain))
    assert [head_of(bad) for bad in (b"", b"\x89PNG\r\n\x1a\n", b"junk")] == [None] * 3
    for pixels, change in (
        (np.zeros((2, 2, 4), np.uint8), CLEAR),
        (np.zeros((2, 2), np.uint16), DEEP),
    ):
        head = head_of(encode(Image.fromarray(pixels)))
        assert head is not None
        assert head.changes == (change,)


def test_formats_that_start_programs_are_no_images() -> None:
    script = encode(Image.fromarray(COLOUR), "EPS")
    with pytest.raises(OSError, match="cannot identify"):
        decode_image(script, size=None, channels=None)


def test_what_memory_can_not_hold_is_asked_before_it_is_taken(monkeypatch) -> None:
    monkeypatch.setattr("prac.data.memory.free_memory", lambda: 100)
    with pytest.raises(ConfigError, match=r"toy: 2 images of 4x6x3 take .* GB and .* are free"):
        decode([encode(Image.fromarray(COLOUR))] * 2)
    monkeypatch.setattr("prac.data.pixels.free_memory", lambda: 100)
    wide = encode(Image.new("1", (9000, 9000)))
    with pytest.raises(ValueError, match="9000x9000 pixels are more than memory holds"):
        decode_image(wide, size=4, channels=None)


@pytest.mark.parametrize("orientation", [0, 9, 77])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_an_orientation_that_is_no_orientation(orientation: int, kind: str) -> None:
    """Nothing is turned, and nothing is told; what a data set's key was made of stays."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(Image.fromarray(COLOUR), kind, exif=exif)
    images, seen = decode([content])
    assert seen.notes() == []
    np.testing.assert_array_equal(images, decode([encode(Image.fromarray(COLOUR), kind)])[0])
    head = head_of(content)
    assert head is not None
    assert (head.width, head.height, head.changes, head.cared) == (4, 6, (), True)


def test_pillow_warns_of_nothing(recwarn) -> None:
    """An image above its own limit of 89 megapixels, and a TIFF that says more than it has."""
    large = encode(Image.new("1", (9500, 9500)))
    torn = bytearray(encode(Image.fromarray(COLOUR), "TIFF", software="x" * 100))
    torn[torn.index(b"x" * 100) :] = b""
    for content in (large, bytes(torn)):
        with contextlib.suppress(ConfigError):
            decode([content], size=4)
    assert not recwarn.list


def png16(values: np.ndarray) -> bytes:
    """(H, W, 3) uint16 as the PNG standard has them; Pillow writes none."""
    height, width, _ = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        check = struct.pack(">I", zlib.crc32(kind + data))
        content += struct.pack(">I", len(data)) + kind + data + check
    return content


def ppm16(values: np.ndarray) -> bytes:
    height, width, _ = values.shape
    return f"P6 {width} {height} 65535\n".encode() + values.astype(">u2").tobytes()


@pytest.mark.parametrize("make", [png16, ppm16])
def test_deep_colours(make) -> None:
    """The upper 8 bits are read, and it is said; where these say nothing, it is refused."""
    values = RNG.integers(0, 2**16, (3, 6, 4, 3)).astype(np.uint16)
    images, seen = decode([make(v) for v in values])
    assert np.abs(images - values / 257.0).max() <= 1
    assert seen.notes() == ["3 images have 16 bits in each colour, of which the upper 8 are read"]
    dark = [make(v) for v in values >> 4]
    decode([*dark, make(values[0])])  # of one camera: some are dark
    with pytest.raises(ConfigError, match=r"3 images have 16 bits .* value is 1[56] of 255"):
        decode(dark)
