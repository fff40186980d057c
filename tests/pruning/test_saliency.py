"""SNIP, GraSP and SynFlow against sums written out by hand, and autograd of other functions."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from prac import Mask
from prac.models.registry import build_model
from prac.pruning.prunable import prunable_weights
from prac.pruning.saliency import GRASP_TEMPERATURE, grasp_saliency, snip_saliency, synflow_saliency


class TwoLayers(nn.Module):
    """A 1x1 convolution of two pixels' worth of channels, ReLU, the mean, a linear layer."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1, bias=False)
        self.linear = nn.Linear(4, 2, bias=False)
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)

    def forward(self, images: Tensor) -> Tensor:
        return self.linear(self.conv(images).relu().mean((2, 3)))


def images(count: int = 6, seed: int = 1) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(count, 3, 2, 2, generator=generator),
        torch.randint(2, (count,), generator=generator),
    )


def halves(batch: tuple[Tensor, Tensor]) -> list[tuple[Tensor, Tensor]]:
    x, y = batch
    return [(x[:2], y[:2]), (x[2:], y[2:])]


def some_mask(model: nn.Module) -> Mask:
    alive = torch.ones(4, 3, 1, 1, dtype=torch.bool)
    alive[0, 1] = alive[2, 0] = alive[3, 2] = False
    return Mask({"conv.weight": alive})


def gradients_by_hand(
    model: TwoLayers, mask: Mask, x: Tensor, y: Tensor, temperature: float
) -> tuple[np.ndarray, np.ndarray]:
    """Of the mean cross-entropy, in NumPy by the chain rule: by conv (4, 3) and linear (2, 4)."""
    w = (model.conv.weight * mask["conv.weight"]).detach().double().numpy()[:, :, 0, 0]
    v = model.linear.weight.detach().double().numpy()
    conv, linear = np.zeros_like(w), np.zeros_like(v)
    for image, label in zip(x.double().numpy(), y.numpy(), strict=True):
        pixels = image.reshape(3, -1)
        hidden = w @ pixels
        pooled = np.maximum(hidden, 0).mean(axis=1)
        logits = v @ pooled / temperature
        error = np.exp(logits - logits.max())
        error = error / error.sum()
        error[label] -= 1
        error /= temperature
        linear += np.outer(error, pooled)
        back = (v.T @ error)[:, None] * (hidden > 0) / pixels.shape[1]
        conv += back @ pixels.T
    # The gradient by a pruned weight is that by its product with the mask: none.
    conv *= mask["conv.weight"].numpy()[:, :, 0, 0]
    return conv / len(y), linear / len(y)


@pytest.mark.parametrize("masked", [False, True])
def test_snip_by_the_chain_rule(masked: bool) -> None:
    model, (x, y) = TwoLayers(), images()
    mask = some_mask(model) if masked else Mask.dense(model)
    conv, _ = gradients_by_hand(model, mask, x, y, temperature=1)
    expected = np.abs(model.conv.weight.detach().numpy()[:, :, 0, 0] * conv)
    for batches in ([(x, y)], halves((x, y))):
        got = snip_saliency(model, mask, batches)
        assert list(got) == ["conv.weight"]
        np.testing.assert_allclose(got["conv.weight"][:, :, 0, 0], expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("masked", [False, True])
def test_grasp_by_differences_of_the_gradient(masked: bool) -> None:
    """H g is the change of the gradient along g: a central difference, in double precision."""
    model, (x, y) = TwoLayers().double(), images()
    mask = some_mask(model) if masked else Mask.dense(model)

    def moved(by: float) -> tuple[np.ndarray, np.ndarray]:
        other = copy.deepcopy(model)
        other.conv.weight.data[:, :, 0, 0] += by * torch.from_numpy(conv)
        other.linear.weight.data += by * torch.from_numpy(linear)
        return gradients_by_hand(other, mask, x, y, GRASP_TEMPERATURE)

    conv, linear = gradients_by_hand(model, mask, x, y, GRASP_TEMPERATURE)
    step = 1e-4 / max(np.abs(conv).max(), np.abs(linear).max())
    along = (moved(step)[0] - moved(-step)[0]) / (2 * step)
    expected = model.conv.weight.detach().numpy()[:, :, 0, 0] * along
    for batches in ([(x.double(), y)], halves((x.double(), y))):
        got = grasp_saliency(model, mask, batches)["conv.weight"][:, :, 0, 0].numpy()
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    # The score is signed, and nothing is left of it where the weight is pruned.
    assert (expected > 0).any()
    assert (expected < 0).any()
    assert (got[~mask["conv.weight"].numpy()[:, :, 0, 0]] == 0).all()


def test_grasp_keeps_what_the_gradient_flows_through() -> None:
    """Removing what scores lowest leaves more of the gradient's norm than what scores highest."""
    model, (x, y) = TwoLayers(3).double(), images(40, seed=5)
    mask = Mask.dense(model)
    scores = grasp_saliency(model, mask, [(x.double(), y)])["conv.weight"].flatten()
    order = scores.argsort()

    def flow(removed: Tensor) -> float:
        alive = torch.ones(12, dtype=torch.bool)
        alive[removed] = False
        pruned = Mask({"conv.weight": alive.view(4, 3, 1, 1)})
        conv, linear = gradients_by_hand(model, pruned, x, y, GRASP_TEMPERATURE)
        return float((conv**2).sum() + (linear**2).sum())

    assert flow(order[:1]) > flow(order[-1:])


@pytest.mark.parametrize("masked", [False, True])
def test_synflow_is_the_sum_over_paths(masked: bool) -> None:
    """Every path from an input of one to a logit counts with the product of its magnitudes."""
    model = TwoLayers()
    mask = some_mask(model) if masked else Mask.dense(model)
    alive = mask["conv.weight"][:, :, 0, 0].numpy()
    w = np.abs(model.conv.weight.detach().numpy()[:, :, 0, 0]) * alive
    v = np.abs(model.linear.weight.detach().numpy())
    expected = np.array(
        [[sum(v[k, h] * w[h, c] for k in range(2)) for c in range(3)] for h in range(4)]
    )
    got = synflow_saliency(model, mask, (2, 2, 3))["conv.weight"][:, :, 0, 0].numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_synflow_is_conserved_from_layer_to_layer() -> None:
    """Tanaka et al., theorem 2: without biases each cut of the network has the same flow."""
    model = build_model("vgg8s", num_classes=3, image_shape=(8, 8, 1), seed=0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.bias.data.zero_()
    model.classifier.bias.data.zero_()
    scores = synflow_saliency(model, Mask.dense(model), (8, 8, 1))
    flows = [float(score.sum()) for score in scores.values()]
    assert len(flows) > 3
    assert flows == pytest.approx([flows[0]] * len(flows), rel=1e-6)


def test_snip_on_a_network_with_batch_statistics_is_autograd_s_own() -> None:
    model = build_model("resnet8", num_classes=3, image_shape=(8, 8, 1), seed=0)
    x, y = torch.randn(12, 1, 8, 8), torch.arange(12) % 3
    other = copy.deepcopy(model).train()
    cross_entropy(other(x), y).backward()
    got = snip_saliency(model, Mask.dense(model), [(x, y)])
    for name, weight in prunable_weights(other).items():
        assert weight.grad is not None
        torch.testing.assert_close(got[name], (weight * weight.grad).abs(), rtol=1e-4, atol=1e-7)


class Tied(nn.Module):
    """A weight that two layers share, whose first name is not the one that is pruned."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.once = nn.Conv2d(1, 4, 1), nn.Module()
        self.again = nn.Conv2d(4, 4, 1)
        self.once.kernel = self.again.weight
        self.register_buffer("scale", torch.full((4, 1, 1), -2.0), persistent=False)
        self.head = nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.conv2d(self.stem(images), self.once.kernel) * self.scale
        logits: Tensor = self.head(self.again(maps).relu().mean((2, 3)))
        return logits


def test_a_shared_weight_has_the_saliency_of_all_its_uses() -> None:
    """Against autograd of the same network with its magnitudes, or its weights, put in."""
    torch.manual_seed(0)
    model = Tied()
    mask = Mask.dense(model)
    assert list(mask) == ["stem.weight", "again.weight"]
    magnitudes = copy.deepcopy(model).double()
    for tensor in (*magnitudes.parameters(), magnitudes.scale):
        tensor.data.abs_()
    magnitudes(torch.ones(1, 1, 8, 8, dtype=torch.float64)).sum().backward()
    got = synflow_saliency(model, mask, (8, 8, 1))
    for name, weight in mask.weights(magnitudes).items():
        torch.testing.assert_close(got[name], (weight * weight.grad).detach())
    x, y = torch.randn(6, 1, 8, 8), torch.arange(6) % 2
    cross_entropy(model(x), y).backward()
    got = snip_saliency(model, mask, [(x, y)])
    for name, weight in mask.weights(model).items():
        torch.testing.assert_close(got[name], (weight * weight.grad).abs().detach())
    assert set(grasp_saliency(model, mask, [(x, y)])) == set(mask)


def test_the_model_is_left_as_it_was() -> None:
    model = build_model("resnet8", num_classes=3, image_shape=(8, 8, 1), seed=0).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    batch = [(torch.randn(6, 1, 8, 8), torch.arange(6) % 3)]
    mask = Mask.dense(model)
    snip_saliency(model, mask, batch)
    grasp_saliency(model, mask, batch)
    synflow_saliency(model, mask, (8, 8, 1))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(module.training for module in model.modules())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
