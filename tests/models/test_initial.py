import re

import pytest
import torch
from torch import nn

from prac.errors import ConfigError
from prac.models.initial import weights_digest


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
