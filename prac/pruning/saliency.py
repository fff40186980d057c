"""Saliencies before training: SNIP, GraSP and SynFlow, as their papers have them.

Each takes a model whose weights count as zero outside the mask, and returns a score for each that
the mask is of: the weights with the lowest scores are pruned. The model is left as it was.

State, where papers and code leave a choice. SNIP and GraSP call the model in training mode, as
their authors' code does: BatchNorm normalises with the batch, the statistics of initial weights
being those of no data. SynFlow calls it in evaluation mode (its authors' default), where BatchNorm
with initial statistics is the identity, up to its epsilon: batch statistics of one image of ones
would be no linear network.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from prac.models.mode import in_mode
from prac.pruning.mask import Mask

Batches = Sequence[tuple[Tensor, Tensor]]

GRASP_TEMPERATURE = 200.0
"""By which logits are divided, as in the authors' code: predictions before training are then
nearly even, whatever the scale of the initial weights."""


class _Masked:
    """A model as a function of its parameters, some of them under a mask."""

    def __init__(self, model: nn.Module, mask: Mask, *, training: bool) -> None:
        self._model, self._training = model, training
        self._buffers = dict(model.named_buffers())
        self.mask = mask
        self.parameters = {
            name: parameter.detach().clone().requires_grad_()
            for name, parameter in _parameters(model, mask).items()
        }

    def __call__(self, images: Tensor) -> Tensor:
        values = {
            name: parameter * self.mask[name].to(parameter.device)
            if name in self.mask
            else parameter
            for name, parameter in self.parameters.items()
        }
        # Clones: training mode writes statistics into the buffers.
        buffers = {name: buffer.clone() for name, buffer in self._buffers.items()}
        with in_mode(self._model, training=self._training):
            logits: Tensor = functional_call(self._model, {**values, **buffers}, (images,))
        return logits

    def weights(self) -> dict[str, Tensor]:
        """The convolutions' and linear layers' weights: those between which signals flow."""
        names = set(self.mask)
        for name, module in self._model.named_modules():
            if isinstance(module, nn.Linear):
                names.add(f"{name}.weight" if name else "weight")
        return {name: p for name, p in self.parameters.items() if name in names}


def snip_saliency(model: nn.Module, mask: Mask, batches: Batches) -> dict[str, Tensor]:
    """|w * dL/dw|: how much the loss would change without the weight, to first order.

    L is the mean cross-entropy over all batches. Lee et al. 2019 (arXiv:1810.02340), section 4.1,
    equation 6; repeated in every round on what is left, as de Jorge et al. 2021 (arXiv:2006.09081).
    """
    masked = _Masked(model, mask, training=True)
    weights = {name: masked.parameters[name] for name in mask}
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    count = sum(len(labels) for _, labels in batches)
    for images, labels in batches:
        loss = cross_entropy(masked(images), labels, reduction="sum") / count
        gradients = torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
        for name, gradient in zip(weights, gradients, strict=True):
            total[name] += gradient
    return {name: (weight * total[name]).abs().detach() for name, weight in weights.items()}


def grasp_saliency(model: nn.Module, mask: Mask, batches: Batches) -> dict[str, Tensor]:
    """w * Hg: minus the paper's score -w * Hg, whose highest are pruned.

    g is the gradient of the mean cross-entropy over all batches by the weights of convolutions and
    linear layers, H the Hessian by the same; logits are divided by GRASP_TEMPERATURE. Removing
    weights with a high -w * Hg keeps or raises the gradient's norm. Wang et al. 2020
    (arXiv:2002.07376), equation 8 and algorithm 1; repeated in every round on what is left.
    """
    masked = _Masked(model, mask, training=True)
    weights = masked.weights()
    count = sum(len(labels) for _, labels in batches)

    def gradients(images: Tensor, labels: Tensor, *, again: bool) -> tuple[Tensor, ...]:
        logits = masked(images) / GRASP_TEMPERATURE
        loss = cross_entropy(logits, labels, reduction="sum") / count
        return torch.autograd.grad(
            loss, list(weights.values()), create_graph=again, materialize_grads=True
        )

    whole = [torch.zeros_like(weight) for weight in weights.values()]
    for images, labels in batches:
        for total, gradient in zip(whole, gradients(images, labels, again=False), strict=True):
            total += gradient
    product = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for images, labels in batches:
        parts = gradients(images, labels, again=True)
        along = torch.stack([(g * p).sum() for g, p in zip(whole, parts, strict=True)]).sum()
        second = torch.autograd.grad(along, list(weights.values()), materialize_grads=True)
        for name, part in zip(weights, second, strict=True):
            product[name] += part
    return {name: (weights[name] * product[name]).detach() for name in mask}


def synflow_saliency(
    model: nn.Module, mask: Mask, image_shape: tuple[int, int, int]
) -> dict[str, Tensor]:
    """|w| * dR/d|w|, where R is the sum of the logits for one image of ones with every parameter
    and buffer replaced by its magnitude: no data is read. In double precision, since R grows with
    the depth.

    image_shape: (H, W, C). Tanaka et al. 2020 (arXiv:2006.05467), equation 7 and algorithm 1.
    """
    device = next(model.parameters()).device
    whole = _parameters(model, mask) | dict(model.named_buffers())
    state = {
        name: tensor.detach().double().abs() if tensor.is_floating_point() else tensor
        for name, tensor in whole.items()
    }
    weights = {name: state[name].requires_grad_() for name in mask}
    state |= {name: weights[name] * mask[name].to(device) for name in mask}
    height, width, channels = image_shape
    ones = torch.ones(1, channels, height, width, dtype=torch.float64, device=device)
    with in_mode(model, training=False):
        flow = functional_call(model, state, (ones,)).sum()
    gradients = torch.autograd.grad(flow, list(weights.values()))
    return {
        name: (weight * gradient).detach()
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
    }


def _parameters(model: nn.Module, mask: Mask) -> dict[str, Tensor]:
    """Each parameter once: under its name in the mask, which need not be its first where it is
    shared, or its first."""
    masked = {id(weight): name for name, weight in mask.weights(model).items()}
    return {masked.get(id(p), name): p for name, p in model.named_parameters()}
