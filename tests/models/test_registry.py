import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models._api import BUILTIN_MODELS

from prac.errors import ConfigError
from prac.models.catalogue import known_architectures
from prac.models.check import check_architecture
from prac.models.registry import build_model, state_shapes

SMALL = ["resnet8", "resnet14", "resnet20s", "vgg8s", "conv4"]

USER_MODULE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes, in_channels):
        super().__init__()
        self.linear = nn.Linear(in_channels, num_classes)
    def forward(self, images):
        return self.linear(images.mean((2, 3)))

def fixed(): return Net(10, 3)
def classes_only(num_classes): return Net(num_classes, 3)
def anything(**kwargs): return Net(**kwargs)
def passes_on(**kwargs): return classes_only(**kwargs)
def lazy(num_classes): return nn.Sequential(nn.Flatten(), nn.LazyLinear(num_classes))
def needs_more(width, num_classes): return Net(num_classes, width)
def wrong_type(): return "net"
def raises(num_classes): raise RuntimeError("line one\\nline two")
class Pair(Net):
    def forward(self, images): return (images, images)
class Named(Net):
    def forward(self, *, pixel_values): return super().forward(pixel_values)
class Lengths(Net):
    def forward(self, images, lengths): return super().forward(images)
def double(num_classes, in_channels): return Net(num_classes, in_channels).double()
NUMBER = 3
"""


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "prac_user_nets.py").write_text(USER_MODULE)
    (tmp_path / "prac_user_broken.py").write_text("raise OSError('no disk')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "prac_user_nets", raising=False)
    return "prac_user_nets"


def state(architecture: str, seed: int, image_shape: tuple[int, int, int]) -> list[torch.Tensor]:
    model = build_model(architecture, num_classes=10, image_shape=image_shape, seed=seed)
    return list(model.state_dict().values())


@pytest.mark.parametrize("pixels", [8, 32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("architecture", SMALL)
def test_small_ones_take_small_and_larger_images(
    architecture: str, channels: int, pixels: int
) -> None:
    model = build_model(architecture, num_classes=7, image_shape=(pixels, pixels, channels), seed=0)
    assert model.training
    assert model(torch.zeros(2, channels, pixels, pixels)).shape == (2, 7)


@pytest.mark.parametrize("architecture", ["resnet8", "vgg8s", "torchvision:squeezenet1_1"])
def test_weights_are_a_function_of_the_seed_alone(architecture: str) -> None:
    shape = (32, 32, 3)
    first = state(architecture, 3, shape)
    torch.manual_seed(99)
    again, other = state(architecture, 3, shape), state(architecture, 4, shape)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("architecture", ["resnet8", "torchvision:squeezenet1_1"])
def test_the_global_random_state_is_untouched(architecture: str) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    check_architecture(architecture, 10, (32, 32, 3))
    assert torch.equal(torch.get_rng_state(), before)


def test_too_small_images_are_refused_with_smaller_architectures() -> None:
    with pytest.raises(ConfigError) as refusal:
        build_model("vgg16", num_classes=10, image_shape=(8, 8, 1), seed=0)
    assert str(refusal.value).startswith(
        "vgg16 needs images of at least 32x32 pixels; these are 8x8; "
        "smaller: vgg8s, conv4, resnet8, "
    )
    assert "vgg11" not in str(refusal.value)
    with pytest.raises(ConfigError, match=r"set data\.image_size"):
        build_model("conv4", num_classes=10, image_shape=(2, 2, 1), seed=0)


def test_an_unknown_name_lists_ours_and_the_other_forms() -> None:
    with pytest.raises(ConfigError) as refusal:
        build_model("resnet21", num_classes=10, image_shape=(32, 32, 3), seed=0)
    message = str(refusal.value)
    assert message.startswith("architecture 'resnet21' is not known; known: ")
    assert all(name in message for name in known_architectures())
    assert "torchvision:NAME" in message
    assert "package.module:callable" in message


def test_an_unknown_torchvision_name_lists_torchvisions() -> None:
    with pytest.raises(ConfigError, match="'nothing' is not known; known: alexnet, "):
        build_model("torchvision:nothing", num_classes=10, image_shape=(32, 32, 3), seed=0)


def test_our_names_win_over_torchvisions() -> None:
    ours = build_model("vgg11", num_classes=10, image_shape=(32, 32, 3), seed=0)
    assert type(ours).__module__ == "prac.models.conv"


def test_torchvision_stays_unimported_for_our_names() -> None:
    code = (
        "import sys; from prac.models.check import check_architecture; "
        "check_architecture('resnet8', 10, (8, 8, 1)); sys.exit('torchvision' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


@pytest.mark.parametrize("architecture", ["squeezenet1_1", "torchvision:squeezenet1_1"])
def test_a_torchvision_classifier_by_either_name(architecture: str) -> None:
    check_architecture(architecture, 10, (32, 32, 3))


def test_googlenet_gives_a_tensor_in_training_mode(recwarn: pytest.WarningsRecorder) -> None:
    name = "googlenet"
    model = build_model(name, num_classes=10, image_shape=(64, 64, 3), seed=0)
    assert model(torch.zeros(2, 3, 64, 64)).shape == (2, 10)
    assert not [w for w in recwarn if "initialization" in str(w.message)]


def test_torchvision_on_one_channel_says_to_set_the_channels() -> None:
    with pytest.raises(ConfigError, match=r"these have 1: set data\.channels=3"):
        check_architecture("squeezenet1_1", 10, (32, 32, 1))


def test_torchvision_on_too_small_images_is_a_line() -> None:
    with pytest.raises(ConfigError, match="can't take images of 4x4 pixels") as refusal:
        check_architecture("torchvision:squeezenet1_1", 10, (4, 4, 3))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["Net", "anything", "classes_only", "passes_on", "fixed", "lazy"])
def test_a_users_callable_gets_what_it_accepts(user_module: str, name: str) -> None:
    model = build_model(f"{user_module}:{name}", num_classes=10, image_shape=(8, 8, 3), seed=1)
    again = build_model(f"{user_module}:{name}", num_classes=10, image_shape=(8, 8, 3), seed=1)
    assert isinstance(model, nn.Module)
    assert model.training
    assert model(torch.zeros(2, 3, 8, 8)).shape == (2, 10)
    for a, b in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("name", "num_classes", "message"),
    [
        ("prac_no_such_module:Net", 10, "can't be imported: ModuleNotFoundError"),
        ("prac_user_broken:Net", 10, "can't be imported: OSError: no disk"),
        ("prac_user_nets:Nothing", 10, "module 'prac_user_nets' has no 'Nothing'"),
        ("prac_user_nets:NUMBER", 10, "is of type int; allowed: a callable"),
        ("prac_user_nets:wrong_type", 10, "returned str; allowed: a torch.nn.Module"),
        ("prac_user_nets:raises", 10, "failed: RuntimeError: line one line two"),
        ("prac_user_nets:needs_more", 10, "missing 1 required positional argument: 'width'"),
        ("prac_user_nets:fixed", 4, r"gives \(2, 10\) for 2 images of 8x8 pixels and 3 channels"),
        ("prac_user_nets:Pair", 10, r"gives a tuple of \(2, 3, 8, 8\), .* for 2 images"),
        ("prac_user_nets:", 10, "has no ''"),
        (":Net", 10, "can't be imported"),
    ],
)
def test_a_users_callable_that_does_not_fit_is_a_line(
    user_module: str, name: str, num_classes: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as refusal:
        check_architecture(name, num_classes, (8, 8, 3))
    assert "\n" not in str(refusal.value)


def _needs_values(num_classes: int, **_: object) -> nn.Module:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(3, num_classes, 3)
            self.scale = float(self.layer.weight.detach().std().item())
            self.rates = [float(rate) for rate in torch.linspace(0, 1, 3)]
            self.names = self.layer.weight.detach().flatten()[:2].tolist()

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            found = self.layer(images).mean((2, 3)) / self.scale
            return found if float(found.sum()) > 0 else -found

    return Net()


def test_a_library_network_that_needs_values_is_tried_on_values(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Shapes alone refuse nothing: what runs on the CPU is built."""
    monkeypatch.setitem(BUILTIN_MODELS, "needs_values", _needs_values)
    monkeypatch.setattr(_needs_values, "__module__", "torchvision.models.needs_values")
    given = {"num_classes": 4, "image_shape": (16, 16, 3)}
    assert build_model("torchvision:needs_values", seed=0, **given).layer.out_channels == 4
    # Who asks for shapes alone wants none of its memory.
    with pytest.raises(ConfigError, match="can't be made without its weights"):
        state_shapes("torchvision:needs_values", **given)
    # Nobody's ticket makes us take the memory of such images.
    given["image_shape"] = (100_000, 100_000, 3)
    with pytest.raises(ConfigError, match="can't take images of 100000x100000 pixels"):
        build_model("torchvision:needs_values", seed=0, **given)


@pytest.mark.parametrize(
    ("network", "told"),
    [
        ("Named", r"called with images alone: .*; allowed: forward\(images\)"),
        ("Lengths", r"called with images alone: .*'lengths'; allowed: forward\(images\)"),
        ("double", r"'linear.weight' is float64; allowed: weights of float32"),
    ],
)
def test_what_no_other_images_would_mend_is_told(user_module: str, network: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        build_model(f"{user_module}:{network}", num_classes=4, image_shape=(8, 8, 3), seed=0)
    assert "image_size" not in str(refused.value)
