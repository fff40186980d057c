"""A trial as a whole: the network trained for a step, its weights counted, an export tried."""

from __future__ import annotations

from prac.config.recipe import Recipe
from prac.config.sections import Precision
from prac.errors import TicketError
from prac.lottery.trials import NetworkTrial
from prac.models.catalogue import ImageShape
from prac.models.registry import build_model
from prac.pruning.prunable import prunable_weights
from prac.ticket.export import ImageClassifier, traced
from prac.training.trial import try_network


def tried(
    name: str,
    num_classes: int,
    image_shape: ImageShape,
    recipe: Recipe,
    precision: Precision,
    *,
    graph: bool,
) -> NetworkTrial:
    """Try a network. Raises ConfigError for one that can't be trained or pruned."""
    layers = recipe.prune.layers
    try_network(name, num_classes, image_shape, recipe.train, precision, layers)
    model = build_model(name, num_classes=num_classes, image_shape=image_shape, seed=0)
    weights = prunable_weights(model, layers, image_shape)
    no_graph = None
    if graph:
        channels = image_shape[2]
        classifier = ImageClassifier(model, (0.0,) * channels, (1.0,) * channels)
        try:
            traced(classifier.eval().requires_grad_(False), image_shape)
        except TicketError as error:
            no_graph = str(error)
    return NetworkTrial(
        prunable=sum(weight.numel() for weight in weights.values()),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        no_graph=no_graph,
    )
