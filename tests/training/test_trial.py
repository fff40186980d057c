"""Networks with habits of public code: the trial lets through what trains, and names what can't."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

import prac
from prac.config.recipes import digits
from prac.config.sections import TrainConfig
from prac.config.values import RewindPoint
from prac.errors import ConfigError, TicketError
from prac.models.registry import build_model
from prac.models.state import load_state
from prac.ticket.export import export_ticket
from prac.training.trial import try_network


@pytest.mark.parametrize(
    "network",
    [
        *("Shared", "Branching", "Volumes", "Remembers", "LeavesOut", "NoneBeside", "Double"),
        *("Handed", "Named", "NamedBeside", "Output", "Pair", "Hyper"),
    ],
)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_trains_passes(network: str, precision: str) -> None:
    try_network(f"support.networks:{network}", 3, (8, 8, 3), TrainConfig(), precision)


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ("centred", "layer '0' computes the weight that it uses"),
        ("depthwise_centred", "layer '0.1' computes the weight that it uses"),
        ("HandedCentred", "the network computes the weight that it uses from the weight that 'two"),
        ("spectral", "convolution '0' computes its weight"),
        ("pruned_before", "convolution '0' computes its weight"),
        ("linear_alone", "no convolution"),
        ("FeaturesBeside", r"in training mode it gives a tuple of \(2, 3\), \(2, 4\); allowed"),
        ("Unnamed", r"a dict of 'scores' \(2, 3\), 'features' \(2, 4\) for 2 images .*; allowed"),
        ("Segments", r"a dict of 'out' \(2, 3, 8, 8\) for 2 images .*; allowed, with 3 classes"),
        ("Forgets", "buffer 'scale' changes in training and is not in the state dictionary"),
        ("Counts", "same weights, buffers and seed give different logits"),
        ("NumpyDrawn", "same weights, buffers and seed give different logits"),
        ("Late", "buffer 'seen' comes, or changes its shape"),
        ("Grows", "buffer 'cache' comes, or changes its shape"),
        ("NotFinite", "logits of random images are not finite"),
        ("frozen", "all its weights are frozen"),
        ("Exits", "can't take images .*SystemExit"),
        ("ExitsInTraining", "SystemExit: 0"),
        ("Complex", "'turn' is of complex64; allowed: real numbers of 16 bits or more"),
        ("viewed", "'one.*' and 'two.weight' are two parameters in one memory"),
        ("DropsState", "its state dictionary has no 'conv.weight'"),
        ("Standardised", "the network computes the weight that it uses .* 'conv.weight' has"),
        ("Beside", "the network computes the weight that it uses .* 'conv.weight' has"),
        ("once", "each time that it is made it is the same network: '0.0.weight'"),
        ("sharing", "each time that it is made it is the same network: "),
        ("wider", "made twice it is two networks: '.*' differs in shape"),
        ("numpy_made", "made twice with one seed, '.*' has two values"),
        ("BufferDrawn", "made twice with one seed, 'table' has two values"),
        ("ExtraState", "its state dictionary has '_extra_state' of type dict"),
    ],
)
def test_what_a_mask_would_not_hold_in_is_refused(network: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as refused:
        try_network(f"support.networks:{network}", 3, (8, 8, 3), TrainConfig(), "fp32")
    assert "\n" not in str(refused.value)


def test_a_depth_by_chance_that_numpy_draws_is_refused() -> None:
    for seed in range(8):
        np.random.seed(seed)
        with pytest.raises(ConfigError, match="draws random numbers that aren't torch's"):
            try_network("support.networks:NumpyDepth", 3, (8, 8, 3), TrainConfig(), "fp32")


@pytest.mark.parametrize("size", [1, 2])
def test_a_batch_of_one_is_tried_where_there_will_be_one(size: int) -> None:
    """Batches of two have one sample where a set's size is odd."""
    train, name = TrainConfig(batch_size=size), "support.networks:BatchNormed"
    with pytest.raises(ConfigError, match=r"in a batch of one image.*more than 1 value"):
        try_network(name, 3, (8, 8, 3), train, "fp32")
    try_network(name, 3, (8, 8, 3), TrainConfig(batch_size=3), "fp32")
    try_network("support.networks:Branching", 3, (8, 8, 3), train, "fp32")


def test_a_depth_by_chance_that_python_draws_is_refused() -> None:
    random.seed(5)
    assert [random.random() < 0.5 for _ in range(7)] == [False] * 6 + [True]
    random.seed(5)
    with pytest.raises(ConfigError, match="seed give different logits"):
        try_network("support.networks:Deepens", 3, (8, 8, 3), TrainConfig(), "fp32")


@pytest.mark.parametrize("layers", ["conv+linear", "linear", "all-but-head", "net.1+net.3.*"])
def test_a_fully_connected_network_passes_with_its_linear_layers(layers: str) -> None:
    try_network("support.networks:Mlp", 3, (8, 8, 3), TrainConfig(), "fp32", layers)


def test_a_linear_layer_that_computes_its_weight_is_refused_where_it_is_prunable() -> None:
    network = "support.networks:scaled_linear"
    try_network(network, 3, (8, 8, 3), TrainConfig(), "fp32")
    with pytest.raises(ConfigError, match="linear layer '2' computes its weight"):
        try_network(network, 3, (8, 8, 3), TrainConfig(), "fp32", "conv+linear")


@pytest.mark.parametrize("network", ["mobilenet_v3_small", "mnasnet0_5", "squeezenet1_1"])
def test_networks_of_torchvision_pass_and_take_their_own_state(network: str) -> None:
    try_network(network, 3, (32, 32, 3), TrainConfig(), "fp32")
    model = build_model(network, num_classes=3, image_shape=(32, 32, 3), seed=0)
    load_state(model, {name: tensor.clone() for name, tensor in model.state_dict().items()})
    other = build_model(network, num_classes=3, image_shape=(32, 32, 3), seed=0)
    assert [m.__class__ for m in model.modules()] == [m.__class__ for m in other.modules()]


@pytest.mark.parametrize(
    ("network", "layers", "not_exported"),
    [
        ("Shared", "conv", ()),
        ("Branching", "conv", ("onnx", "pt2")),
        ("Volumes", "conv", ()),
        ("Remembers", "conv", ()),
        ("NamedBeside", "conv", ()),
        ("Output", "conv", ()),
        ("Pair", "conv", ()),
        ("LeavesOut", "conv", ()),
        ("Mlp", "conv+linear", ()),
        ("Attention", "all-but-head", ()),
    ],
)
def test_the_whole_way(
    network: str, layers: str, not_exported: tuple[str, ...], tmp_path: Path
) -> None:
    draw = np.random.default_rng(0)
    labels = np.arange(48) % 3
    images = draw.integers(0, 255, (48, 8, 8, 3), dtype=np.uint8)
    recipe = digits().replace(compare=()).with_epochs(2)
    recipe = recipe.set(
        search={"rounds": 1, "rewind": RewindPoint("epoch", 1)},
        select={"easy": 0.5},
        prune={"layers": layers},
    )
    data = {"train": (images, labels), "test": (images[:12], labels[:12])}
    result = prac.search(recipe, data=data, network=f"support.networks:{network}")
    ticket = result.ticket
    ticket.verify()
    loaded = prac.Ticket.load(ticket.save(tmp_path / "ticket"))
    assert loaded.lineage["layers"] == layers
    _zero_under_every_name(loaded)
    network_again = loaded.build(trained=True)
    with torch.no_grad():
        assert network_again.eval()(torch.zeros(5, 3, 8, 8)).shape == (5, 3)
    for form in ("safetensors", "onnx", "pt2"):
        if form not in not_exported:
            export_ticket(loaded, tmp_path / form, form)
            continue
        with pytest.raises(TicketError, match=f"can't be exported as {form}") as told:
            export_ticket(loaded, tmp_path / form, form)
        assert str(told.value).isprintable()
        assert not (tmp_path / form).exists()


def _zero_under_every_name(ticket: prac.Ticket) -> None:
    """No value of the rewind weights is left of what the network, once built, has pruned."""
    built = ticket.build()
    for name, tensor in built.state_dict().items():
        assert torch.equal(tensor, ticket.weights[name]), name
