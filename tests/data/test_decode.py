"""Encoded images become the pixels they were made of."""

import io

import numpy as np
import pytest
from PIL import Image

from prac.data.decode import convert_images, decode_image, decode_images
from prac.data.refusals import name_some
from prac.errors import ConfigError

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)
COLOUR = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)


def encode(pixels: np.ndarray, mode: str | None = None) -> bytes:
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, "PNG")
    return buffer.getvalue()


def decode(encoded: list, size=None, channels=None):
    return decode_images(
        lambda: iter(encoded),
        len(encoded),
        size=size,
        channels=channels,
        source="toy",
        describe=lambda i: f"row {i}",
    )[0]


def test_grey_stays_one_channel_and_colour_three() -> None:
    np.testing.assert_array_equal(decode([encode(GREY)] * 2), np.stack([GREY[..., None]] * 2))
    np.testing.assert_array_equal(decode([encode(COLOUR)] * 2), np.stack([COLOUR] * 2))


@pytest.mark.parametrize("grey_first", [True, False])
def test_one_colour_image_makes_all_colour(grey_first: bool) -> None:
    grey_as_colour = GREY[..., None].repeat(3, axis=2)
    pair = [encode(GREY), encode(COLOUR)]
    expected = [grey_as_colour, COLOUR]
    if not grey_first:
        pair, expected = pair[::-1], expected[::-1]
    np.testing.assert_array_equal(decode(pair), np.stack(expected))


def test_channels_convert() -> None:
    assert decode([encode(COLOUR)], channels=1).shape == (1, 3, 4, 1)
    np.testing.assert_array_equal(
        decode([encode(GREY)], channels=3)[0], GREY[..., None].repeat(3, axis=2)
    )


def test_transparency_and_palettes_become_colour() -> None:
    opaque = np.dstack([COLOUR, np.full((3, 4), 255, dtype=np.uint8)])
    np.testing.assert_array_equal(decode([encode(opaque)])[0], COLOUR)
    assert decode([encode(COLOUR, "P")]).shape == (1, 3, 4, 3)


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    wide = GREY.astype(np.uint16) * 256 * 20
    np.testing.assert_array_equal(
        decode_image(encode(wide), size=None, channels=None)[..., 0], GREY * 20
    )


def test_the_order_is_kept_over_many_batches() -> None:
    rows = [np.full((2, 2), i % 251, dtype=np.uint8) for i in range(1500)]
    images = decode([encode(row) for row in rows])
    np.testing.assert_array_equal(images[..., 0], np.stack(rows))


def test_a_crop_of_the_shorter_side_needs_no_resampling() -> None:
    np.testing.assert_array_equal(decode([encode(GREY)], size=3)[0, ..., 0], GREY[:, 0:3])


def test_resizing_makes_squares_of_different_sizes() -> None:
    flat = [np.full(shape, 7, dtype=np.uint8) for shape in [(8, 16), (20, 10), (5, 5)]]
    images = decode([encode(pixels) for pixels in flat], size=5)
    assert images.shape == (3, 5, 5, 1)
    assert (images == 7).all()


def test_different_sizes_without_one_raise() -> None:
    with pytest.raises(ConfigError, match=r"toy: 1 of 2 images are not 4x3.*row 1 is 3x4.*image_s"):
        decode([encode(GREY), encode(GREY.T.copy())])


def test_corrupt_images_are_counted_and_the_first_five_named() -> None:
    whole = encode(np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8))
    bad = [b"", b"text", whole[:200], whole[:40], whole[:10], b"\x89PNG\r\n\x1a\n"]
    with pytest.raises(ConfigError) as error:
        decode([whole, *bad, whole])
    assert str(error.value) == (
        "toy: 6 of 8 images can't be decoded (row 1, row 2, row 3, row 4, row 5, ...); "
        "allowed: whole image files"
    )


def test_nothing_but_corrupt_images() -> None:
    with pytest.raises(ConfigError, match="2 of 2 images can't be decoded"):
        decode([b"a", b"b"])


def test_absent_images_are_counted() -> None:
    with pytest.raises(ConfigError, match=r"2 of 3 images are null \(row 0, row 2\)"):
        decode([None, encode(GREY), None])


def test_a_file_is_read_where_it_lies(tmp_path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(encode(GREY))
    np.testing.assert_array_equal(decode([file])[0, ..., 0], GREY)


def test_arrays_convert_like_files() -> None:
    arrays = np.random.default_rng(0).integers(0, 256, (3, 10, 12, 3), dtype=np.uint8)
    encoded = [encode(pixels) for pixels in arrays]
    for options in ({"size": 6, "channels": 1}, {"size": None, "channels": 1}, {"size": 4}):
        options = {"channels": None} | options
        np.testing.assert_array_equal(convert_images(arrays, **options), decode(encoded, **options))
    assert convert_images(arrays, size=None, channels=3) is arrays


def test_name_some() -> None:
    assert name_some([3, 1], str) == "3, 1"
    assert name_some(range(9), str) == "0, 1, 2, 3, 4, ..."
