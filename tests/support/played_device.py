"""A device that is played: its tensors say that they are on it, and hold their values on the CPU.

Every operation on them is seen: what would wait for the device (a value that is read, a copy off
it, a shape that depends on values), what is copied to it, and what mixes devices, which CUDA
refuses.
Torch's name for a device without values, `meta`, is the name of this one. A program finds the same
bits on it as on the CPU.
"""

from __future__ import annotations

from collections import Counter
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

DEVICE = torch.device("meta")
_CPU = torch.device("cpu")
_aten: Any = torch.ops.aten

_READS = {_aten._local_scalar_dense.default, _aten.equal.default}
"""What they give is a value of Python's."""
_SHAPED = {
    _aten.nonzero.default,
    _aten.masked_select.default,
    _aten._unique2.default,
    _aten.unique_dim.default,
    _aten.unique_consecutive.default,
    _aten.repeat_interleave.Tensor,
    _aten.bincount.default,
}
"""The shape of what they give depends on values."""
_INDEXED = {
    _aten.index.Tensor,
    _aten.index_put_.default,
    _aten.index_put.default,
    _aten._index_put_impl_.default,
}


class Mixed(RuntimeError):
    """An operation on tensors of two devices."""


class OnDevice(Tensor):
    """A tensor on the played device. held: its values."""

    held: Tensor

    @staticmethod
    def __new__(cls: type[OnDevice], held: Tensor) -> OnDevice:
        make: Any = Tensor._make_wrapper_subclass
        made: OnDevice = make(
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=DEVICE,
        )
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise RuntimeError(f"{function}: the device is played no more")


class PlayedDevice(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it lasts, `meta` is a device with values.

    waits: what the program would have waited for; copies: to the device; launched: operations that
    were started on it.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits: list[str] = []
        self.copies: list[str] = []
        self.launched: Counter[str] = Counter()
        self._beside = (
            _Unseen(self),
            # Torch makes no views of such tensors in inference mode.
            patch.object(torch, "inference_mode", torch.no_grad),
        )

    def __enter__(self) -> PlayedDevice:
        for each in self._beside:
            each.__enter__()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        for each in reversed(self._beside):
            each.__exit__(*error)

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        values, spec = tree_flatten((args, kwargs))
        here = [value for value in values if isinstance(value, OnDevice)]
        if not here and kwargs.get("device") != DEVICE:
            return function(*args, **kwargs)
        if function is _aten._to_copy.default:
            return self._copied(args[0], kwargs)
        if function is _aten.copy_.default:
            return self._copied_into(*args[:2])
        self._look(function, here, values)
        inside = [_held(value) for value in values]
        inside_args, inside_kwargs = tree_unflatten(inside, spec)
        answer = function(*inside_args, **inside_kwargs)
        # What works in place gives the same tensor again.
        known = {id(value.held): value for value in here}
        return tree_map_only(
            Tensor, lambda t: known[id(t)] if id(t) in known else OnDevice(t), answer
        )

    def _look(self, function: Any, here: list[OnDevice], values: list[Any]) -> None:
        name = str(function)
        # How many rows a mask takes is known on the device alone.
        masked = any(value.dtype in (torch.bool, torch.uint8) for value in here[1:])
        if function in _READS | _SHAPED or (function in _INDEXED and masked):
            self.waits.append(name)
        for value in values:
            # CUDA takes numbers of the CPU's (0-d), and copies an index.
            if isinstance(value, Tensor) and not isinstance(value, OnDevice) and value.dim():
                if function not in _INDEXED:
                    raise Mixed(f"{name} of tensors on the device and on the CPU")
                self.copies.append(name)
        self.launched[name] += 1

    def _copied(self, source: Tensor, kwargs: dict[str, Any]) -> Tensor:
        to = kwargs.get("device")
        copy: Tensor = _aten._to_copy.default(_held(source), **{**kwargs, "device": None})
        if isinstance(source, OnDevice) and to not in (None, DEVICE):
            self.waits.append("a copy off the device")
            return copy
        if not isinstance(source, OnDevice):
            self.copies.append("a copy to the device")
        return OnDevice(copy)

    def _copied_into(self, target: Tensor, source: Tensor) -> Tensor:
        if not isinstance(target, OnDevice):
            self.waits.append("a copy off the device")
        elif not isinstance(source, OnDevice):
            self.copies.append("a copy to the device")
        _held(target).copy_(_held(source))
        return target


class _Unseen(TorchFunctionMode):
    """What torch does where no dispatch is seen: tensors of numbers, and numbers of tensors."""

    def __init__(self, play: PlayedDevice) -> None:
        super().__init__()
        self._play = play

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is Tensor.tolist and isinstance(args[0], OnDevice):
            self._play.waits.append("values are read")
            return args[0].held.tolist()
        device = torch.device(kwargs.get("device") or _CPU)
        if function in (torch.tensor, torch.as_tensor) and device == DEVICE:
            self._play.copies.append("numbers to the device")
            return OnDevice(function(*args, **{**kwargs, "device": _CPU}))
        return function(*args, **kwargs)


def _held(value: Any) -> Any:
    """As the CPU is given it."""
    if isinstance(value, OnDevice):
        return value.held
    return _CPU if isinstance(value, torch.device) else value


def values(tensor: Tensor) -> Tensor:
    """Those of a tensor, wherever it is."""
    held: Tensor = _held(tensor)
    return held
