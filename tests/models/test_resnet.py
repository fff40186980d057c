import pytest
import torch
from torch.nn.utils import parameters_to_vector

from prac.models.describe import forward_flops
from prac.models.registry import build_model
from prac.models.resnet import ZeroPadShortcut, cifar_resnet, resnet18


def cifar_parameters(num_blocks: int, in_channels: int, num_classes: int) -> int:
    """From table 6 of He et al. 2015: 2n layers of each width, BatchNorm's two per channel."""
    convolutions = 9 * (
        in_channels * 16
        + 2 * num_blocks * 16 * 16
        + 16 * 32
        + (2 * num_blocks - 1) * 32 * 32
        + 32 * 64
        + (2 * num_blocks - 1) * 64 * 64
    )
    norms = 2 * (16 + 2 * num_blocks * (16 + 32 + 64))
    return convolutions + norms + 64 * num_classes + num_classes


@pytest.mark.parametrize(
    ("depth", "num_blocks", "millions"), [(20, 3, 0.27), (32, 5, 0.46), (44, 7, 0.66)]
)
def test_parameters_are_those_of_the_paper(depth: int, num_blocks: int, millions: float) -> None:
    count = parameters_to_vector(cifar_resnet(depth, 3, 10).parameters()).numel()
    assert count == cifar_parameters(num_blocks, 3, 10)
    assert count == pytest.approx(millions * 1e6, rel=0.02)


def test_resnet20_has_269722_parameters() -> None:
    assert parameters_to_vector(cifar_resnet(20, 3, 10).parameters()).numel() == 269_722


def test_resnet8_on_digits_has_the_parameters_of_the_formula() -> None:
    assert parameters_to_vector(cifar_resnet(8, 1, 10).parameters()).numel() == cifar_parameters(
        1, 1, 10
    )


def test_resnet18_with_the_published_stem_has_the_published_parameters() -> None:
    # torchvision's documentation gives 11,689,512 for 1000 classes.
    assert parameters_to_vector(resnet18(3, 1000, "7x7").parameters()).numel() == 11_689_512
    assert parameters_to_vector(resnet18(3, 10).parameters()).numel() == 11_173_962


def resnet18_multiply_adds(stem: int, side: int, num_classes: int) -> int:
    """From table 1 of He et al. 2015. stem: of its convolution; side: of the first stage's images.

    A stage after the first: a convolution from half its width, three at its width, a projection.
    """
    total = stem + 4 * side**2 * 64 * 64 * 9
    for width in (128, 256, 512):
        side //= 2
        total += side**2 * width * (width // 2 * 9 + 3 * width * 9 + width // 2)
    return total + 512 * num_classes


@pytest.mark.parametrize(
    ("name", "pixels", "multiply_adds"),
    [
        # 7x7, stride 2, then a pool of stride 2: the first stage sees a quarter of the side.
        ("resnet18", 64, resnet18_multiply_adds(32**2 * 64 * 3 * 49, 16, 200)),
        ("resnet18", 128, resnet18_multiply_adds(64**2 * 64 * 3 * 49, 32, 200)),
        ("resnet18-7x7", 32, resnet18_multiply_adds(16**2 * 64 * 3 * 49, 8, 200)),
        ("resnet18", 32, resnet18_multiply_adds(32**2 * 64 * 3 * 9, 32, 200)),
        ("resnet18-3x3", 64, resnet18_multiply_adds(64**2 * 64 * 3 * 9, 64, 200)),
    ],
)
def test_resnet18_has_the_stem_of_its_images(name: str, pixels: int, multiply_adds: int) -> None:
    shape = (pixels, pixels, 3)
    model = build_model(name, num_classes=200, image_shape=shape, seed=0)
    assert sum(forward_flops(model, shape).values()) == 2 * multiply_adds


def test_tiny_imagenet_costs_a_third_of_a_gflop_an_image() -> None:
    # Multiply-adds by hand: 9,633,792 in the stem, 37,748,736 in the first stage, 33,554,432 in
    # each of the other three, 102,400 in the linear layer.
    by_hand = 2 * (9_633_792 + 37_748_736 + 3 * 33_554_432 + 102_400)
    assert 2 * resnet18_multiply_adds(32**2 * 64 * 3 * 49, 16, 200) == by_hand == 296_296_448


def test_a_side_below_64_pixels_makes_the_small_stem() -> None:
    wide = build_model("resnet18", num_classes=2, image_shape=(63, 96, 3), seed=0)
    assert wide.get_parameter("stem.0.weight").shape[-1] == 3


@pytest.mark.parametrize("depth", [2, 9, 18])
def test_a_depth_that_is_not_6n_plus_2_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match="6n \\+ 2"):
        cifar_resnet(depth, 3, 10)


def test_option_a_takes_every_other_pixel_and_pads_channels_with_zeros() -> None:
    features = torch.tensor(
        [[[[1.0, 2, 3], [4, 5, 6], [7, 8, 9]], [[10.0, 11, 12], [13, 14, 15], [16, 17, 18]]]]
    )
    zeros = [[0.0, 0], [0, 0]]
    expected = torch.tensor([[zeros, [[1.0, 3], [7, 9]], [[10.0, 12], [16, 18]], zeros]])
    shortcut = ZeroPadShortcut(2, 4, 2)
    assert torch.equal(shortcut(features), expected)
    assert not list(shortcut.parameters())


def test_option_a_keeps_channels_last() -> None:
    features = torch.randn(2, 4, 6, 6).to(memory_format=torch.channels_last)
    out = ZeroPadShortcut(4, 8, 2)(features)
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("autocast", [False, True])
def test_a_channels_last_step_gives_every_parameter_a_gradient(autocast: bool) -> None:
    model = cifar_resnet(8, 3, 10).to(memory_format=torch.channels_last)
    images = torch.randn(4, 3, 8, 8).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        logits = model(images)
    assert logits.dtype == (torch.bfloat16 if autocast else torch.float32)
    logits.float().square().sum().backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


def test_resnet8_exports_and_gives_the_same_logits() -> None:
    model = cifar_resnet(8, 1, 10).eval()
    images = torch.randn(2, 1, 8, 8)
    exported = torch.export.export(model, (images,)).module()
    torch.testing.assert_close(exported(images), model(images))
