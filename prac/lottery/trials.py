"""What trials of networks found, kept by all that they read: a plan of the same needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from prac.cache import keep, kept, versions
from prac.config.recipe import Recipe
from prac.config.sections import Precision, PruneConfig
from prac.errors import TicketError
from prac.fingerprint import fingerprint
from prac.models.catalogue import Pictures
from prac.plugins import identity, is_custom, is_of_this_process
from prac.schema import Count

_KEPT = "trials"
_VERSION = 4
"""Rises when a trial finds more than it did."""


@dataclass(frozen=True, kw_only=True)
class NetworkTrial:
    """What a network that can be searched is like.

    prunable, parameters: weights, a tied one once. no_graph: why its tickets have no graph that
    others can load; None where they have one, or where it wasn't asked.
    """

    prunable: Count
    parameters: Count
    no_graph: str | None = None

    def lines(self, name: str, prune: PruneConfig) -> list[str]:
        """What a person should know before a run."""
        share = self.prunable / max(1, self.parameters)
        told = f"{name}: {share:.1%} of its {self.parameters:,} weights are prunable"
        told += f" (prune.layers={prune.layers})"
        if share < 0.5:
            told += "; warning: sparsity is of these alone. prune.layers=conv+linear or "
            told += "all-but-head prunes more"
        found = [told]
        if self.no_graph is not None:
            found.append(f"{name}: its tickets are kept without a graph: {self.no_graph}")
        return found


def try_kept(
    name: str, images: Pictures, recipe: Recipe, precision: Precision, *, graph: bool
) -> NetworkTrial:
    """The trial of a network, or what an earlier one of the same source and settings found.

    graph: whether an export is tried. Refusals are not kept. Raises ConfigError.
    """
    read = {
        "version": _VERSION,
        "libraries": versions("torch", "torchvision"),
        "network": identity(name),
        "optimizer": identity(recipe.train.optimizer),
        "images": (images.num_classes, *images.image_shape),
        "train": recipe.train,
        "reads": (precision, recipe.prune.layers, graph),
    }
    digest = fingerprint(read)
    keeps = not (is_custom(name) and is_of_this_process(name))
    found = kept(NetworkTrial, _KEPT, digest) if keeps else None
    if found is None:
        found = tried(name, images, recipe, precision, graph=graph)
        if keeps:
            keep(found, _KEPT, digest)
    return found


def tried(
    name: str, images: Pictures, recipe: Recipe, precision: Precision, *, graph: bool
) -> NetworkTrial:
    """The trial itself: trained for a step, its weights counted, an export tried. Raises
    ConfigError for a network that can't be trained or pruned."""
    # torch, which who finds an earlier answer does without.
    from prac.models.registry import network_for
    from prac.pruning.prunable import prunable_weights
    from prac.ticket.export import ImageClassifier, traced
    from prac.training.trial import try_network

    layers, image_shape = recipe.prune.layers, images.image_shape
    try_network(name, images.num_classes, image_shape, recipe.train, precision, layers)
    model = network_for(images, name)
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
