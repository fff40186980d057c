"""A ticket put to use: trained on any data of its shape, measured on a test split."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import nn

from prac.config.checks import require
from prac.config.recipe import Recipe
from prac.config.recipes import RECIPES, get_recipe
from prac.config.sections import AugmentConfig, Precision, TrainConfig
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.errors import ConfigError, TicketError
from prac.fingerprint import fingerprint
from prac.models.layout import placed
from prac.models.registry import network_for
from prac.models.state import load_state
from prac.pruning.mask import Mask
from prac.storage import Folder
from prac.ticket.cost import ticket_cost
from prac.ticket.format import Ticket
from prac.training.evaluation import test_accuracy
from prac.training.loop import Trained, Training, train
from prac.training.made_by import together
from prac.training.observers import EpochCallback, OnEpoch
from prac.training.precision import pick_device, resolve_precision

_OF_FOUND = ("found_test_accuracy", "found_validation_accuracy", "found_steps", "as_found")


@dataclass(frozen=True, kw_only=True)
class TrainedAlone:
    """A network trained on all the training data; test_accuracy: in [0, 1], measured once, by the
    model of the best validation epoch."""

    trained: Trained
    test_accuracy: float


def train_alone(
    model: nn.Module,
    mask: Mask | None,
    images: DeviceImages,
    config: TrainConfig,
    *,
    seed: int,
    run: str,
    checkpoints: Folder | None = None,
    on_epoch: OnEpoch | None = None,
) -> TrainedAlone:
    """Train a model from the weights it has under `mask` for the full budget, and test it once.

    config: with its precision resolved. mask: None is the dense network. The order of samples
    depends on the seed alone, so that all tickets of one seed are compared in pairs
    (arXiv:2106.03225 trains every ticket so).
    """
    training = Training.on_everything(images, config, run=run, seed=seed, stream=("judge",))
    observers = [] if on_epoch is None else [EpochCallback(on_epoch)]
    trained = train(model, training, mask=mask, observers=observers, checkpoints=checkpoints)
    load_state(model, trained.best_weights)
    return TrainedAlone(
        trained=trained, test_accuracy=test_accuracy(model, images, config.precision)
    )


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A ticket after training.

    ticket: the same mask and rewind weights, with the trained weights, and with the data and what
    the network costs for it in its lineage; `seed` and the like there stay the search's.
    test_accuracy, validation_accuracy: in [0, 1], of the model of the best validation epoch.
    new_layers: weights of another shape in the ticket (a head for other classes), drawn anew, and
    all alive.
    """

    ticket: Ticket
    test_accuracy: float
    validation_accuracy: float
    best_epoch: int
    steps: int
    new_layers: tuple[str, ...]


def own_recipe(ticket: Ticket) -> Recipe:
    """What the ticket was searched with, by its name. Raises ConfigError where that isn't known."""
    name = ticket.lineage.get("recipe", "")
    if name not in RECIPES:
        raise ConfigError(f"the ticket's recipe {name!r} is not one of prac's; name one of them")
    return get_recipe(name)


def measure_ticket(ticket: Ticket, dataset: ImageDataset, *, device: str = "cpu") -> float:
    """Accuracy of the ticket's trained network on the test split, in [0, 1].

    In the precision that its lineage names, fp32 by default, and with the normalisation that it was
    trained with. Raises TicketError for a ticket that was not trained, and for images of another
    shape or other classes.
    """
    _check_shape(ticket, dataset)
    classes = int(ticket.lineage["num_classes"])
    if classes != dataset.num_classes:
        raise TicketError(
            f"the ticket tells {classes} classes apart; {dataset.name} has {dataset.num_classes}"
        )
    for own, other in zip(ticket.lineage.get("class_names", ()), dataset.class_names, strict=False):
        if own != other:
            raise TicketError(
                f"the ticket's classes come in another order or are others: where it has {own!r}, "
                f"{dataset.name} has {other!r}"
            )
    mean, std = (tuple(ticket.lineage.get(n, getattr(dataset, n))) for n in ("mean", "std"))
    dataset = dataclasses.replace(dataset, mean=mean, std=std)
    place = pick_device(device)
    model = placed(ticket.build(trained=True, keep=False), place)
    precision: Precision = ticket.lineage.get("precision", "fp32")
    return test_accuracy(model, DeviceImages(dataset, AugmentConfig(), place), precision)


def train_ticket(
    ticket: Ticket,
    dataset: ImageDataset,
    config: TrainConfig,
    augment: AugmentConfig,
    *,
    seed: int = 0,
    device: str = "auto",
    on_epoch: OnEpoch | None = None,
) -> Judgement:
    """Train a ticket from its rewind weights on any data of the same image shape.

    Where the number of classes differs, the layers that don't fit are drawn anew from the seed.
    Raises TicketError for images of another shape, ConfigError for a seed below 0 or of 2**31.
    """
    require(0 <= seed < 2**31, "seed", seed, "0 to 2147483647")
    _check_shape(ticket, dataset)
    place = pick_device(device)
    precision = resolve_precision(config.precision, place)
    config = dataclasses.replace(config, precision=precision)
    start, new_layers = _fitted(ticket, dataset, seed)
    model = start.build(keep=False)  # the loop below keeps the mask itself
    images = DeviceImages(dataset, augment, place)
    found = train_alone(
        model,
        start.mask,
        images,
        config,
        seed=seed,
        run=fingerprint((config, augment, seed, dataset.fingerprint)),
        on_epoch=on_epoch,
    )
    trained, accuracy = found.trained, found.test_accuracy
    lineage = {
        **start.lineage,
        "precision": precision,
        "training_seed": seed,
        "test_accuracy": accuracy,
        "validation_accuracy": trained.best_accuracy,
        "dense_test_accuracy": None,
        "made_by": together(ticket.lineage.get("made_by", {}), trained.made_by),
    }
    return Judgement(
        ticket=Ticket(
            mask=start.mask, weights=start.weights, lineage=lineage, trained=trained.kept_weights
        ),
        test_accuracy=accuracy,
        validation_accuracy=trained.best_accuracy,
        best_epoch=trained.best_epoch,
        steps=trained.steps,
        new_layers=new_layers,
    )


def _check_shape(ticket: Ticket, dataset: ImageDataset) -> None:
    shape = tuple(ticket.lineage.get("image_shape", ()))
    if shape != dataset.image_shape:
        raise TicketError(
            f"the ticket was made for images of {_times(shape)}, {dataset.name} has "
            f"{_times(dataset.image_shape)}; data.image_size and data.channels change the images"
        )


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "unknown shape"


def _fitted(ticket: Ticket, dataset: ImageDataset, seed: int) -> tuple[Ticket, tuple[str, ...]]:
    """The ticket for this data: its classes, normalisation and costs; names of the weights drawn
    anew."""
    try:
        architecture = ticket.network_name()
    except KeyError as error:
        raise TicketError(f"the ticket's lineage has no {error}; apply it to a model") from error
    model = network_for(dataset, architecture, seed=seed)
    fresh = model.state_dict()
    changed = tuple(
        name
        for name, tensor in fresh.items()
        if name in ticket.weights and ticket.weights[name].shape != tensor.shape
    )
    weights = {**ticket.weights, **{name: fresh[name].clone() for name in changed}}
    mask = Mask(
        {
            name: torch.ones(fresh[name].shape, dtype=torch.bool) if name in changed else alive
            for name, alive in ticket.mask.items()
        }
    )
    same_data = ticket.lineage.get("data_fingerprint") == dataset.fingerprint
    # Of the weights that the search left, which go, and of the data that it was made on.
    gone = _OF_FOUND if same_data else (*_OF_FOUND, "num_training")
    lineage = {
        **{name: value for name, value in ticket.lineage.items() if name not in gone},
        "data": dataset.name,
        "data_fingerprint": dataset.fingerprint,
        "found_on": ticket.lineage.get("found_on", ticket.lineage.get("data")),
        "splits": dataset.splits,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "sparsity": mask.sparsity,
        "weights": mask.size,
        "weights_alive": mask.num_alive,
        **vars(ticket_cost(model, mask, dataset.image_shape)),
        "num_classes": dataset.num_classes,
        "class_names": list(dataset.class_names),
        "image_shape": list(dataset.image_shape),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
    }
    fitted = dataclasses.replace(
        ticket, mask=mask, weights=weights, lineage=lineage, trained=None, found=None
    )
    return fitted, changed
