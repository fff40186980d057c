"""Epochs of batches: complete, alike for any number of workers, augmented as by a slow loop."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prac.config.counts import num_batches
from prac.config.sections import AugmentConfig
from prac.data.augment import padded_crops
from prac.data.batches import Batch, DeviceImages
from prac.data.dataset import ImageDataset
from prac.errors import ConfigError
from prac.training.randomness import generator

ToyData = Callable[..., ImageDataset]
AUGMENT = AugmentConfig(crop_padding=2, flip=True)


@pytest.fixture(scope="module")
def images(toy_data: ToyData) -> DeviceImages:
    return DeviceImages(toy_data(250, shape=(5, 7, 3)), AUGMENT)


def _epoch(
    images: DeviceImages,
    ids: np.ndarray,
    batch_size: int,
    *key: object,
    rank: int = 0,
    size: int = 1,
) -> list[Batch]:
    draw = generator(*(key or (0, "round", 0, 0)))  # type: ignore[arg-type]
    return list(images.epoch(ids, batch_size, draw, rank=rank, world_size=size))


def _by_sample(batches: list[Batch]) -> dict[int, torch.Tensor]:
    return {int(i): image for b in batches for i, image in zip(b.sample_ids, b.images, strict=True)}


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.integers(1, 64), st.integers(1, 3))
def test_every_sample_comes_once_an_epoch(
    images: DeviceImages, count: int, batch_size: int, workers: int
) -> None:
    ids = np.sort(np.random.default_rng(count).permutation(250)[:count]).astype(np.int32)
    steps = math.ceil(count / batch_size)
    if count // steps < workers:
        with pytest.raises(ConfigError, match="can't be shared by"):
            _epoch(images, ids, batch_size, size=workers)
        return
    shares = [_epoch(images, ids, batch_size, rank=r, size=workers) for r in range(workers)]
    assert num_batches(count, batch_size) == steps
    assert {len(share) for share in shares} == {steps}
    seen = np.concatenate([batch.sample_ids for share in shares for batch in share])
    assert np.sort(seen).tolist() == ids.tolist()
    for parts in zip(*shares, strict=True):
        sizes = [len(part.sample_ids) for part in parts]
        assert {part.step_size for part in parts} == {sum(sizes)}
        assert sum(sizes) <= batch_size
        assert min(sizes) >= 1
        assert max(sizes) - min(sizes) <= 1
    of_steps = [batch.step_size for batch in shares[0]]
    assert max(of_steps) - min(of_steps) <= 1


def test_workers_see_the_images_that_one_worker_sees(images: DeviceImages) -> None:
    ids = images.training_ids
    alone = _by_sample(_epoch(images, ids, 32))
    for workers in (2, 3):
        together: dict[int, torch.Tensor] = {}
        for rank in range(workers):
            together |= _by_sample(_epoch(images, ids, 32, rank=rank, size=workers))
        assert together.keys() == alone.keys()
        assert all(torch.equal(together[i], alone[i]) for i in alone)


def test_an_epoch_is_a_function_of_seed_round_and_epoch(images: DeviceImages) -> None:
    def drawn(*key: object) -> tuple[list[int], torch.Tensor]:
        batches = _epoch(images, images.training_ids, 64, *key)
        order = np.concatenate([b.sample_ids for b in batches]).tolist()
        return order, torch.cat([b.images for b in batches])

    order, pixels = drawn(0, "round", 1, 2)
    torch.manual_seed(5)
    np.random.seed(5)
    again, same_pixels = drawn(0, "round", 1, 2)
    assert order == again
    assert torch.equal(pixels, same_pixels)
    others = [drawn(*k)[0] for k in ((1, "round", 1, 2), (0, "round", 2, 2), (0, "round", 1, 3))]
    assert all(other != order for other in others)
    seeds = [generator(0, "round", *key).initial_seed() for key in ((11, 2), (1, 12))]
    assert seeds[0] != seeds[1]


def test_augmentation_against_a_loop_over_images() -> None:
    random = np.random.default_rng(3)
    for padding in (0, 1, 3):
        pixels = random.integers(0, 256, (40, 6, 9, 3), dtype=np.uint8)
        offsets = random.integers(0, 2 * padding + 1, (40, 2))
        flips = random.random(40) < 0.5
        got = padded_crops(
            torch.from_numpy(pixels), torch.from_numpy(offsets), torch.from_numpy(flips), padding
        )
        for i in range(40):
            padded = np.pad(pixels[i], ((padding, padding), (padding, padding), (0, 0)))
            top, left = offsets[i]
            crop = padded[top : top + 6, left : left + 9]
            expected = np.flip(crop, axis=1) if flips[i] else crop
            np.testing.assert_array_equal(got[i].numpy(), expected)


def test_crops_and_flips_are_drawn_from_all_there_are(toy_data: ToyData) -> None:
    dataset = toy_data(500, shape=(4, 4, 1))
    ramp = np.broadcast_to(np.arange(1, 17, dtype=np.uint8).reshape(4, 4, 1), (500, 4, 4, 1))
    dataset = dataclasses.replace(dataset, train_images=ramp, mean=(0.0,), std=(1 / 255,))

    def kinds(augment: AugmentConfig) -> set[bytes]:
        batches = _epoch(DeviceImages(dataset, augment), dataset.training_ids, 100)
        drawn = torch.cat([batch.images for batch in batches]).round().byte()
        return {image.numpy().tobytes() for image in drawn}

    assert len(kinds(AugmentConfig(crop_padding=1, flip=True))) == 18
    assert len(kinds(AugmentConfig(crop_padding=1, flip=False))) == 9
    assert len(kinds(AugmentConfig(crop_padding=0, flip=True))) == 2
    assert kinds(AugmentConfig(crop_padding=0, flip=False)) == {ramp[0].tobytes()}


def test_normalisation_and_labels_against_numpy(toy_data: ToyData) -> None:
    dataset = toy_data(250, shape=(5, 7, 3))
    images = DeviceImages(dataset, AugmentConfig(crop_padding=0, flip=False))
    mean, std = np.array(dataset.mean), np.array(dataset.std)

    def expected(pixels: np.ndarray) -> np.ndarray:
        return ((pixels / 255 - mean) / std).transpose(0, 3, 1, 2)

    ids = dataset.training_ids[::3]
    clean = images.clean(ids)
    assert clean.dtype == torch.float32
    assert clean.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(clean, expected(dataset.train_images[ids]), atol=1e-5)
    np.testing.assert_array_equal(images.labels(ids), dataset.train_labels[ids])
    np.testing.assert_allclose(images.test(3, 9), expected(dataset.test_images[3:9]), atol=1e-5)
    assert images.num_test == len(dataset.test_images)
    for batch in _epoch(images, ids, 16):
        np.testing.assert_allclose(
            batch.images, expected(dataset.train_images[batch.sample_ids]), atol=1e-5
        )
        np.testing.assert_array_equal(batch.labels, dataset.train_labels[batch.sample_ids])
        assert batch.sample_ids.dtype == np.int32


def test_read_only_arrays_are_taken_without_a_warning(toy_data: ToyData) -> None:
    dataset = toy_data()
    assert not dataset.train_images.flags.writeable
    before = dataset.train_images.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images = DeviceImages(dataset, AUGMENT)
        _epoch(images, dataset.training_ids, 16)
        images.test(0, 5)
    np.testing.assert_array_equal(dataset.train_images, before)


def test_an_epoch_of_no_samples_is_refused(images: DeviceImages) -> None:
    with pytest.raises(ConfigError, match="0 samples"):
        _epoch(images, np.empty(0, np.int32), 16)
