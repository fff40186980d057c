"""What the workers of one data-parallel training have to agree on."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True)
class Workers:
    """This worker's place among those that train one model. One worker needs no process group.

    shares: into how many shares a step is divided; 0 is one a worker. Fewer workers than shares
    take several shares each, one after the other: what is found depends on the shares (BatchNorm
    normalises each alone), not on how many workers are there. Fewer in the
    place of many find the same bits: gradients are added in the order of the shares.
    """

    rank: int = 0
    size: int = 1
    shares: int = 0

    def __post_init__(self) -> None:
        if self.shares == 0:
            object.__setattr__(self, "shares", self.size)
        if not 0 <= self.rank < self.size <= self.shares:
            raise ValueError(f"{self} is no place: rank < size <= shares")

    @classmethod
    def of_process_group(cls, shares: int = 0) -> Workers:
        """The place in the initialised default process group, or that of a lone worker."""
        if dist.is_available() and dist.is_initialized():
            return cls(dist.get_rank(), dist.get_world_size(), shares)
        return cls(shares=shares)

    @property
    def mine(self) -> range:
        """The shares of every step that this worker takes."""
        return range(self.rank, self.shares, self.size)

    def parallel(self, model: nn.Module, *, reads_buffers: bool = False) -> Parallel:
        """What computes this worker's shares of a step, and the sum over all shares.

        reads_buffers: whether what a step does to buffers changes the passes of the next one.
        """
        if self.size == 1:
            return Parallel(self, model)
        return Ordered(self, model, reads_buffers=reads_buffers)

    def agree_on_buffers(self, model: nn.Module) -> None:
        """Give every worker the BatchNorm statistics of rank 0."""
        if self.size > 1:
            for buffer in model.buffers():
                _of_rank_0(buffer)

    def total(self, values: Tensor) -> Tensor:
        """The sum over all workers."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def rank_0_says(self, flag: bool, device: torch.device) -> bool:
        """The flag of rank 0, on every rank: a decision is made once.

        A sum rather than a broadcast: rank 0 also waits until all ranks are here, so that what it
        does next (a checkpoint, say) comes after what they did before (commit their events).
        """
        if self.size == 1:
            return flag
        decision = torch.tensor([int(flag and self.rank == 0)], device=device)
        dist.all_reduce(decision)
        return bool(decision.item())

    def rank_0_number(self, number: int, device: torch.device) -> int:
        """The number of rank 0, on every rank."""
        if self.size == 1:
            return number
        agreed = torch.tensor([number], dtype=torch.int64, device=device)
        dist.broadcast(agreed, 0)
        return int(agreed.item())

    def told(self, mine: Mapping[str, str], device: torch.device) -> list[Mapping[str, str]]:
        """What each worker says of itself, in the order of ranks: 4,000 bytes of JSON at most."""
        if self.size == 1:
            return [mine]
        text = torch.zeros(4_000, dtype=torch.uint8, device=device)
        said = torch.tensor(list(json.dumps(mine).encode()), dtype=torch.uint8)
        text[: len(said)] = said
        every = [torch.empty_like(text) for _ in range(self.size)]
        dist.all_gather(every, text)
        return [json.loads(bytes(each.tolist()).rstrip(b"\0")) for each in every]


def _of_rank_0(tensor: Tensor) -> None:
    """Overwrite a tensor by rank 0's; as bytes, because gloo knows few types."""
    plain = tensor.detach().clone(memory_format=torch.contiguous_format)
    dist.broadcast(plain.view(-1).view(torch.uint8), 0)
    tensor.detach().copy_(plain)


class Parallel:
    """The shares of a step on one worker: their gradients are added as they come."""

    def __init__(self, workers: Workers, model: nn.Module) -> None:
        self.workers, self.model = workers, model

    @contextlib.contextmanager
    def taking(self, share: int) -> Iterator[None]:
        """Forward and backward passes of one of this worker's shares.

        Every share begins with the buffers that the step began with. Those after the step are of
        share 0, which rank 0 takes first: what other shares do to buffers is undone.
        """
        if share == self.workers.rank:
            several = len(self.workers.mine) > 1
            self._before = [b.clone() for b in self.model.buffers()] if several else []
            yield
            return
        after = [buffer.clone() for buffer in self.model.buffers()]
        self._set_buffers(self._before)
        yield
        self._set_buffers(after)

    def _set_buffers(self, values: list[Tensor]) -> None:
        with torch.no_grad():
            for buffer, value in zip(self.model.buffers(), values, strict=True):
                buffer.copy_(value)

    def finish(self) -> None:
        """After the last share: gradients are those of the whole step."""


class Ordered(Parallel):
    """Gradients of all shares, gathered and added in the order of the shares: the sum that one
    worker alone makes.

    Torch's own data parallelism adds in an order of its own, and waits for ever where one worker's
    share left a parameter out that another's took (stochastic depth).
    """

    def __init__(self, workers: Workers, model: nn.Module, *, reads_buffers: bool) -> None:
        super().__init__(workers, model)
        self._reads_buffers = reads_buffers
        self._parameters = [p for p in model.parameters() if p.requires_grad]
        self._taken: list[Tensor] = []
        self._lacking = set(range(len(self._parameters)))
        for tensor in (*model.parameters(), *model.buffers()):
            _of_rank_0(tensor)

    @contextlib.contextmanager
    def taking(self, share: int) -> Iterator[None]:
        """As one worker takes it; its gradients are put aside, with a 1 for each that is there."""
        with super().taking(share):
            yield
        gradients = [p.grad for p in self._parameters]
        pairs = zip(self._parameters, gradients, strict=True)
        parts = [torch.zeros_like(p) if g is None else g for p, g in pairs]
        # Ones are made on the device; a list of them would be copied there, in every step.
        there = parts[0].new_ones(len(parts))
        lacking = {place for place, g in enumerate(gradients) if g is None}
        for place in lacking:
            there[place] = 0
        self._lacking &= lacking
        self._taken.append(torch.cat([part.reshape(-1) for part in (*parts, there)]))
        for parameter in self._parameters:
            parameter.grad = None

    def finish(self) -> None:
        """Gather them from all workers and add them; what no share took has no gradient.

        What one of its own shares took is known here; only of the rest does a worker ask the
        device, and waits for it: of networks that leave layers out.
        """
        workers = self.workers
        if self._reads_buffers:
            workers.agree_on_buffers(self.model)
        most = -(-workers.shares // workers.size)
        padded = [*self._taken, *[torch.zeros_like(self._taken[0])] * (most - len(self._taken))]
        mine = torch.stack(padded)
        every = [torch.empty_like(mine) for _ in range(workers.size)]
        dist.all_gather(every, mine)
        total = every[0][0].clone()
        for share in range(1, workers.shares):
            total += every[share % workers.size][share // workers.size]
        sizes = [parameter.numel() for parameter in self._parameters]
        *gradients, there = torch.split(total, [*sizes, len(sizes)])
        shares = there.tolist() if self._lacking else []
        for place, (parameter, gradient) in enumerate(
            zip(self._parameters, gradients, strict=True)
        ):
            if place not in self._lacking or shares[place]:
                parameter.grad = torch.empty_like(parameter)
                parameter.grad.copy_(gradient.view_as(parameter))
        self._taken.clear()
        self._lacking = set(range(len(self._parameters)))
