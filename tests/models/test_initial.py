import io
import os
import pickle
import re
import zipfile
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision
from torch import nn

from prac.config.sections import ModelConfig
from prac.errors import ConfigError
from prac.models.initial import started, weights_digest


def test_every_part_of_a_state_counts() -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    last = weight.clone()
    last[1, 2] = torch.nextafter(last[1, 2], torch.tensor(9.0))
    states = [
        {"a": weight},
        {"b": weight},
        {"a": weight.reshape(3, 2)},
        {"a": weight.double()},
        {"a": weight.view(torch.int32)},
        {"a": last},
        {"a": -weight},  # -0.0 is not 0.0
        {"a": weight, "b": weight},
        {"a": weight, "b": torch.tensor(0.0)},
        {"a": weight, "b": torch.empty(0)},
        {},
    ]
    digests = [weights_digest(state) for state in states]
    assert len(set(digests)) == len(states)
    assert all(re.fullmatch("[0-9a-f]{32}", digest) for digest in digests)


def test_order_memory_and_gradients_do_not_count() -> None:
    images = torch.randn(2, 3, 4, 4)
    weight = torch.randn(3, 5)
    state = {"a": images, "b": weight}
    other = {
        "b": nn.Parameter(weight.t().contiguous().t()),
        "a": images.to(memory_format=torch.channels_last),
    }
    assert weights_digest(state) == weights_digest(other)
    assert weights_digest({"a": images[:1]}) == weights_digest({"a": images[:1].clone()})


@pytest.mark.parametrize(
    "kind", [torch.bfloat16, torch.float16, torch.bool, torch.int64, torch.complex64]
)
def test_types(kind: torch.dtype) -> None:
    one, two = torch.zeros(3).to(kind), torch.ones(3).to(kind)
    assert weights_digest({"a": one}) != weights_digest({"a": two})
    assert weights_digest({"a": one}) == weights_digest({"a": one.clone()})


def test_a_conjugate_is_told_by_its_values() -> None:
    values = torch.tensor([1 + 2j, 3 - 1j])
    conjugate = torch.tensor([1 - 2j, 3 + 1j])
    assert weights_digest({"a": values.conj()}) == weights_digest({"a": conjugate})


def test_a_model_that_went_to_disk_and_back(tmp_path) -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    loaded = torch.load(tmp_path / "weights.pt", weights_only=True)
    assert weights_digest(loaded) == weights_digest(model.state_dict())


@pytest.mark.parametrize("value", [torch.eye(2).to_sparse(), torch.empty(2, device="meta"), {}])
def test_what_has_no_bytes(value: object) -> None:
    with pytest.raises(ConfigError, match="weights 'a' are of type") as caught:
        weights_digest({"a": value})
    assert "\n" not in str(caught.value)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where torch keeps what it downloads."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub" / "checkpoints"


def start(architecture: str, weights: str) -> nn.Module:
    return started(architecture, weights, num_classes=3, image_shape=(32, 32, 3), seed=0)


@pytest.mark.parametrize("name", ["IMAGENET1K_V1", "DEFAULT"])
def test_weights_of_torchvision_are_read_where_torch_keeps_them(hub: Path, name: str) -> None:
    there = torchvision.models.squeezenet1_1().state_dict()
    torch.save(there, hub / "squeezenet1_1-b8a52dc0.pth")
    for architecture in ("squeezenet1_1", "torchvision:squeezenet1_1"):
        found = start(architecture, ModelConfig(weights=(name,)).weights_of(architecture) or "")
        state = found.state_dict()
        heads = [n for n, tensor in state.items() if tensor.shape != there[n].shape]
        assert heads == ["classifier.1.weight", "classifier.1.bias"]
        assert all(torch.equal(state[n], there[n]) for n in state.keys() - set(heads))


class RunsCode:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path(os.environ["TORCH_HOME"]) / "ran",)


def test_weights_of_torchvision_that_cant_be_read_are_one_line(hub: Path) -> None:
    place = hub / "squeezenet1_1-b8a52dc0.pth"
    url = "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth"
    for architecture, name, line in (
        ("squeezenet1_1", "IMAGENET1K_V1", f"nothing is downloaded unasked; put {url} at {place}"),
        (
            "squeezenet1_1",
            "IMAGENET1K_V9",
            "'IMAGENET1K_V9' is not known; known: DEFAULT, IMAGENET1K_V1",
        ),
        ("resnet8", "IMAGENET1K_V1", "of torchvision's networks, and resnet8 is none"),
        ("torchvision:resnet18", "IMAGENET1K_V1", "nothing is downloaded unasked; put https"),
        ("resnet18", "IMAGENET1K_V1", "resnet18 is none; allowed: torchvision:NAME"),
        ("support.networks:Ending", "DEFAULT", "support.networks:Ending is none"),
    ):
        with pytest.raises(ConfigError, match=re.escape(line)) as caught:
            start(architecture, name)
        assert "\n" not in str(caught.value)
    for content in (b"", b"PK\3\4", pickle.dumps({"a": RunsCode()})):
        place.write_bytes(content)
        with pytest.raises(
            ConfigError, match=r"squeezenet1_1-b8a52dc0\.pth can't be read"
        ) as caught:
            start("squeezenet1_1", "IMAGENET1K_V1")
        assert "\n" not in str(caught.value)
    torch.save({"a": RunsCode()}, place)
    with pytest.raises(ConfigError, match="can't be read"):
        start("squeezenet1_1", "IMAGENET1K_V1")
    # By its beginning a harmless old file, by its end an archive that torch.hub would unpack.
    inner, archive = io.BytesIO(), io.BytesIO()
    torch.save({"a": RunsCode()}, inner, _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("inner.pth", inner.getvalue())
    torch.save({"a": torch.zeros(1)}, place, _use_new_zipfile_serialization=False)
    place.write_bytes(place.read_bytes() + archive.getvalue())
    with pytest.raises(ConfigError, match="can't be read"):
        start("squeezenet1_1", "IMAGENET1K_V1")
    assert not (hub.parents[1] / "ran").exists()


def test_weights_of_another_library_s_network_of_that_name_say_so(tmp_path: Path) -> None:
    file = tmp_path / "resnet18.safetensors"
    safetensors.torch.save_file(torchvision.models.resnet18().state_dict(), file)
    with pytest.raises(ConfigError, match="did you mean torchvision:resnet18, which it is of"):
        start("resnet18", str(file))
    assert start("torchvision:resnet18", str(file))
