"""A mask as bytes and back; damage is refused."""

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prac import Mask
from prac.errors import TicketError
from prac.pruning.mask_file import mask_from_bytes, mask_to_bytes


def mask() -> Mask:
    torch.manual_seed(0)
    names = ["z.weight", "a.weight", "m.weight"]  # safetensors would sort them
    return Mask({n: torch.rand(4, 3, 3) < 0.5 for n in names})


@given(st.permutations(["z", "a", "m.weight", "ü"]), st.integers(0, 2**31 - 1))
@settings(max_examples=40, deadline=None)
def test_there_and_back_in_order(names: list[str], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    made = Mask({n: torch.rand(3, 5, generator=generator) < 0.5 for n in names})
    again = mask_from_bytes(mask_to_bytes(made))
    assert again == made
    assert list(again) == names


def test_it_is_a_plain_safetensors_file() -> None:
    tensors = safetensors.torch.load(mask_to_bytes(mask()))
    assert set(tensors) == set(mask())
    assert all(torch.equal(tensors[name], mask()[name]) for name in mask())


def test_other_memory_layouts() -> None:
    turned = Mask({"w": (torch.rand(4, 6) < 0.5).T})
    assert mask_from_bytes(mask_to_bytes(turned)) == turned


def test_every_cut_is_refused() -> None:
    whole = mask_to_bytes(mask())
    for length in range(len(whole)):
        with pytest.raises(TicketError, match="the mask file is damaged") as caught:
            mask_from_bytes(whole[:length])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("flip", [0x01, 0x20, 0x80])
def test_a_flipped_bit_is_refused_or_a_lone_entry(flip: int) -> None:
    made = mask()
    whole = mask_to_bytes(made)
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= flip
        try:
            read = mask_from_bytes(bytes(damaged))
        except TicketError:
            continue
        # A one for a zero is a mask as well: the checksum of whoever keeps the file finds it.
        assert round(read.distance(made) * made.size) <= (1 if flip == 1 else 0)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a mask",
        safetensors.torch.save({"w": torch.ones(2, dtype=torch.bool)}),
        safetensors.torch.save({"w": torch.ones(2)}, {"prac.order": '["w"]'}),
        safetensors.torch.save({"w": torch.ones(2, dtype=torch.bool)}, {"prac.order": '["v"]'}),
        safetensors.torch.save({"w": torch.ones(2, dtype=torch.bool)}, {"prac.order": "[]"}),
        safetensors.torch.save({"w": torch.ones(2, dtype=torch.bool)}, {"prac.order": "3"}),
        (2).to_bytes(8, "little") + b"[]",
    ],
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(TicketError, match="damaged"):
        mask_from_bytes(data)
