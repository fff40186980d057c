"""Forward and backward passes of one batch, and the same recorded once and replayed.

A small network's step is hundreds of kernels that an accelerator finishes faster than a processor
can start them one by one. Recorded as a CUDA graph they are started by one call. Masks, SGD, events
and the learning rate stay outside of the recording, so that it holds for all epochs of a training.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from prac.config.sections import Precision
from prac.models.answers import logits_of
from prac.training.precision import autocast
from prac.training.randomness import generators_kept

_log = logging.getLogger(__name__)

_WARM_UPS = 3
"""Passes before a recording, in which libraries choose algorithms and allocate; as torch advises
(torch.cuda.CUDAGraph, "whole-network capture")."""

AUXILIARY = 0.3
"""What the loss of auxiliary logits counts (Szegedy et al. 2014, arXiv:1409.4842, section 5)."""

Work = Callable[[], tuple[Tensor, Tensor]]


class Passes(Protocol):
    """Forward and backward passes of one batch."""

    def __call__(
        self, images: Tensor, labels: Tensor, weight: float, each: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Add `weight` times the gradients of the summed losses to the parameters.

        images: (B, C, H, W); labels: (B,) int64; each: (B,) float32, what each loss weighs in the
        sum; None: 1. Returns the logits (B, K) and the sum of the losses, both valid until the next
        call.
        """


@dataclass(frozen=True, kw_only=True)
class EagerPasses:
    """One kernel after the other.

    A network that gives several logits in training mode, the first of them its answer, is trained
    on all of them.
    """

    model: nn.Module
    precision: Precision
    label_smoothing: float

    def __call__(
        self, images: Tensor, labels: Tensor, weight: float, each: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        with autocast(images.device, self.precision):
            logits, *others = logits_of(self.model(images))
        losses = self._losses(logits, labels, each)
        for auxiliary in others:
            losses = losses + AUXILIARY * self._losses(auxiliary, labels, each)
        (losses * weight).backward()  # type: ignore[no-untyped-call]
        return logits.detach(), losses.detach()

    def _losses(self, logits: Tensor, labels: Tensor, each: Tensor | None) -> Tensor:
        losses = nn.functional.cross_entropy(
            logits.float(),
            labels,
            reduction="sum" if each is None else "none",
            label_smoothing=self.label_smoothing,
        )
        return losses if each is None else (losses * each).sum()


@dataclass(frozen=True)
class Recording:
    """What was recorded: its replay writes the same memory again, that of `outputs` among it."""

    outputs: tuple[Tensor, Tensor]
    replay: Callable[[], None]


Recorder = Callable[[Work], Recording]
"""Runs a work as often as it needs to, and records it."""


@dataclass(frozen=True, kw_only=True)
class _Recorded:
    images: Tensor
    labels: Tensor
    gradients: list[Tensor | None]
    recording: Recording


class RecordedPasses:
    """Replays passes that are recorded at the first batch of each shape; an epoch has two at most.

    A network that can't be recorded (it waits for the device, or its work depends on values or on
    random numbers of the processor) is trained kernel by kernel; a warning says why.
    """

    def __init__(self, eager: EagerPasses, recorder: Recorder) -> None:
        self._eager = eager
        self._recorder = recorder
        self._parameters = [p for p in eager.model.parameters() if p.requires_grad]
        self._known: dict[tuple[torch.Size, float], _Recorded] = {}
        self._possible = True

    def __call__(
        self, images: Tensor, labels: Tensor, weight: float, each: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Replay, with this batch in the place of the recorded one. Gradients are overwritten.

        Batches whose samples weigh differently are not recorded.
        """
        if each is not None:
            self._forget_gradients()
            return self._eager(images, labels, weight, each)
        key = (images.shape, weight)
        if self._possible and key not in self._known:
            self._possible = self._record(key, images, labels)
        if not self._possible:
            return self._eager(images, labels, weight)
        known = self._known[key]
        known.images.copy_(images)
        known.labels.copy_(labels)
        known.recording.replay()
        for parameter, gradient in zip(self._parameters, known.gradients, strict=True):
            parameter.grad = gradient
        return known.recording.outputs

    def _record(self, key: tuple[torch.Size, float], images: Tensor, labels: Tensor) -> bool:
        still_images, still_labels = images.clone(), labels.clone()

        def work() -> tuple[Tensor, Tensor]:
            # Without gradients the backward pass writes them anew rather than adds to old ones.
            self._forget_gradients()
            return self._eager(still_images, still_labels, key[1])

        before = [buffer.clone() for buffer in self._eager.model.buffers()]
        try:
            # The replay draws what this batch would have drawn without a recording.
            with generators_kept(images.device):
                recording = self._recorder(work)
        except RuntimeError as error:
            self._known.clear()  # with the memory of what was recorded before
            reason = str(error).partition("\n")[0]
            _log.warning("the network can't be recorded as a CUDA graph: %s", reason)
            return False
        finally:
            # BatchNorm has seen the batch in every warm-up.
            with torch.no_grad():
                for buffer, kept in zip(self._eager.model.buffers(), before, strict=True):
                    buffer.copy_(kept)
            gradients = [parameter.grad for parameter in self._parameters]
            self._forget_gradients()
        self._known[key] = _Recorded(
            images=still_images, labels=still_labels, gradients=gradients, recording=recording
        )
        return True

    def _forget_gradients(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None


class CudaRecorder:
    """Records the passes of one network as CUDA graphs, in one stream and one pool of memory.

    The graphs share the pool because no two of them are replayed at once, and what they leave
    (outputs, gradients) is held by whoever recorded them.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream: torch.cuda.Stream | None = None
        self._pool: Any = None

    def __call__(self, work: Work) -> Recording:
        """Warm up and record. Raises RuntimeError, with CUDA's own words, for what can't be."""
        # Streams, graphs and random states are those of the current device unless one is named.
        with torch.cuda.device(self._device):
            before = torch.cuda.current_stream()
            self._stream = self._stream or torch.cuda.Stream()  # type: ignore[no-untyped-call]
            try:
                return self._record(work, self._stream, before)
            except RuntimeError as error:
                # The end of a failed recording fails, too; what went wrong first says more.
                first = error.__context__
                raise first if isinstance(first, RuntimeError) else error from None
            finally:
                # A recording that failed leaves its own stream as the current one.
                torch.cuda.set_stream(before)
                before.wait_stream(self._stream)

    def _record(
        self, work: Work, stream: torch.cuda.Stream, before: torch.cuda.Stream
    ) -> Recording:
        drawn = torch.get_rng_state()
        stream.wait_stream(before)
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                work()
        before.wait_stream(stream)
        if not torch.equal(torch.get_rng_state(), drawn):
            # What such a number decides would be decided once, for all replays.
            raise RuntimeError("it draws random numbers on the processor")
        graph = torch.cuda.CUDAGraph()
        # Another thread's calls (a progress report, a copy) are no part of the recording.
        with torch.cuda.graph(
            graph, pool=self._pool, stream=stream, capture_error_mode="thread_local"
        ):
            outputs = work()
        self._pool = graph.pool()
        return Recording(outputs, graph.replay)


def passes_for(eager: EagerPasses, device: torch.device, *, alone: bool) -> Passes:
    """The fastest passes on this device. alone: one worker takes every step whole; gradients that
    are gathered from several shares or workers are not recorded."""
    return RecordedPasses(eager, CudaRecorder(device)) if alone and device.type == "cuda" else eager
