"""What augmentation draws and does, against torchvision and by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from prac.config.sections import AugmentConfig
from prac.config.values import Share
from prac.data.augment import augmentation, check_augmentation, resized_crops
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.errors import ConfigError
from prac.fingerprint import fingerprint
from prac.training.randomness import generator

ToyData = Callable[..., ImageDataset]
OWN = """
import numpy as np
import torch

def noisy(image):
    return (image.float() + torch.randint(0, 9, image.shape)).clamp(0, 255).byte()

def floats(image):
    return image / 255

def smaller(image):
    return image[:, 1:]

def unseeded(image):
    return image + np.random.randint(0, 9, dtype=np.uint8)

def inverted(image):
    return image.bitwise_xor_(255)

def broken(image):
    raise RuntimeError("no such picture")
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_augment.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_augment", raising=False)


def test_resized_crops_are_torchvisions() -> None:
    random = np.random.default_rng(1)
    images = torch.from_numpy(random.integers(0, 256, (50, 20, 30, 3), dtype=np.uint8))
    height, width = random.integers(1, 21, 50), random.integers(1, 31, 50)
    top, left = random.integers(0, 21 - height), random.integers(0, 31 - width)
    flips = random.random(50) < 0.5
    boxes = torch.from_numpy(np.stack([top, left, height, width], axis=1))
    got = resized_crops(images, boxes, torch.from_numpy(flips))
    for i in range(50):
        one = images[i].permute(2, 0, 1).float()
        box = [int(each[i]) for each in (top, left, height, width)]
        wanted = reference.resized_crop(one, *box, size=[20, 30], antialias=False)
        wanted = reference.horizontal_flip(wanted) if flips[i] else wanted
        assert (got[i].permute(2, 0, 1) - wanted).abs().max() <= 0.51


def test_areas_and_shapes_are_as_told() -> None:
    augment = augmentation(AugmentConfig(transform="resized-crop", area=0.25), (60, 80, 3))
    boxes, flips = augment.drawn(4000, generator(0, "x"))
    top, left, height, width = boxes.double().T
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 60).all()
    assert (left + width <= 80).all()
    area = height * width / (60 * 80)
    assert 0.23 < area.min() < 0.3
    assert area.max() > 0.9
    assert (width / height).max() < 1.4
    assert (width / height).min() > 0.7
    assert 0.45 < flips.double().mean() < 0.55


@pytest.mark.parametrize("shape", [(32, 32, 3), (32, 64, 3), (90, 30, 1)])
@pytest.mark.parametrize("area", [0.3, 0.9, 1.0])
def test_no_area_is_smaller_than_the_smallest(shape: tuple[int, int, int], area: float) -> None:
    boxes, _ = augmentation(AugmentConfig(transform="resized-crop", area=area), shape).drawn(
        2000, generator(0, "x")
    )
    height, width = boxes[:, 2].double(), boxes[:, 3].double()
    # Sides are whole pixels: half of one is lost on each.
    least = (height + 0.5) * (width + 0.5) / (shape[0] * shape[1])
    assert least.min() >= area
    if area == 1:
        assert boxes.unique(dim=0).tolist() == [[0, 0, *shape[:2]]]


def test_ones_own_leaves_batches_in_the_order_of_all_others(own: None) -> None:
    augment = augmentation(AugmentConfig(transform="own_augment:noisy"), (8, 6, 3))
    images = torch.zeros((4, 8, 6, 3), dtype=torch.uint8)
    assert augment(images, *augment.drawn(4, generator(0, "x"))).is_contiguous()


def test_padding_in_proportion_is_the_published_one_at_32_pixels(toy_data: ToyData) -> None:
    data = toy_data(40, shape=(32, 32, 3))

    def pixels(augment: AugmentConfig) -> torch.Tensor:
        images = DeviceImages(data, augment)
        epoch = images.epoch(data.training_ids, 16, generator(0, "round", 0, 0))
        return torch.cat([batch.images for batch in epoch])

    published = pixels(AugmentConfig())
    assert torch.equal(published, pixels(AugmentConfig(crop_padding=Share(0.125))))
    assert not torch.equal(published, pixels(AugmentConfig(crop_padding=Share(0.25))))
    plain = pixels(AugmentConfig(transform="none"))
    assert torch.equal(plain, pixels(AugmentConfig(crop_padding=0, flip=False)))


def test_what_came_later_is_in_no_key_while_it_is_as_before() -> None:
    assert fingerprint(AugmentConfig()) == fingerprint(AugmentConfig(transform="published"))
    told = {
        fingerprint(AugmentConfig(transform=t))
        for t in ("published", "none", "resized-crop", "a:b")
    }
    assert len(told) == 4


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_ones_own_is_drawn_by_seed_round_and_epoch_alone(
    workers: int, own: None, toy_data: ToyData
) -> None:
    data = toy_data(60, shape=(8, 8, 3))
    images = DeviceImages(data, AugmentConfig(transform="own_augment:noisy"))

    def pixels(epoch: int, size: int) -> dict[int, torch.Tensor]:
        found = {}
        for rank in range(size):
            draw = generator(0, "round", 0, epoch)
            for batch in images.epoch(data.training_ids, 16, draw, rank=rank, world_size=size):
                found |= dict(zip(batch.sample_ids.tolist(), batch.images, strict=True))
        return found

    torch.manual_seed(workers)
    before = torch.get_rng_state()
    one, several, other = pixels(0, 1), pixels(0, workers), pixels(1, 1)
    assert torch.equal(torch.get_rng_state(), before)
    assert one.keys() == several.keys()
    assert all(torch.equal(one[i], several[i]) for i in one)
    assert not any(torch.equal(one[i], other[i]) for i in one)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_augment:floats", r"gives \(3, 8, 8\) torch.float32 for an image of \(3, 8, 8\)"),
        ("own_augment:smaller", r"gives \(3, 7, 8\) torch.uint8"),
        ("own_augment:unseeded", "gives other images for the same seeds"),
        ("own_augment:broken", "failed: RuntimeError: no such picture"),
        ("own_augment:nosy", "has no 'nosy'; did you mean 'noisy'"),
    ],
)
def test_what_can_not_be_used_is_refused_before_anything_starts(
    name: str, message: str, own: None
) -> None:
    with pytest.raises(ConfigError, match=message):
        check_augmentation(AugmentConfig(transform=name), (8, 8, 3))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_transform_may_work_in_place(channels: int, own: None) -> None:
    config = AugmentConfig(transform="own_augment:inverted")
    check_augmentation(config, (8, 8, channels))
    augment = augmentation(config, (8, 8, channels))
    images = torch.randint(0, 256, (5, 8, 8, channels), dtype=torch.uint8)
    before = images.clone()
    assert torch.equal(augment(images, *augment.drawn(5, torch.Generator())), 255 - before)
    assert torch.equal(images, before)


def test_settings_that_are_none() -> None:
    with pytest.raises(ConfigError, match="allowed: published, resized-crop, none, package"):
        AugmentConfig(transform="cutmix")
    with pytest.raises(ConfigError, match=r"augment\.area"):
        AugmentConfig(area=0)
