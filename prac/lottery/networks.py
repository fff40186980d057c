"""Networks before anything is trained: whether they can be, and what of them is in keys."""

from __future__ import annotations

from collections.abc import Iterable

from prac.config.recipe import Recipe
from prac.config.sections import Precision, PruneConfig
from prac.config.strategies import ProxyOptions
from prac.data.dataset import Source
from prac.errors import unknown
from prac.lottery.trials import NetworkTrial, try_kept
from prac.models.catalogue import Pictures, find_ours, is_of_user, require_library
from prac.models.check import check_architecture
from prac.plugins import is_custom


def initial_digests(recipe: Recipe, source: Source) -> dict[str, str]:
    """The digest of the initial weights of each network that is a callable of the user's, which may
    load them from a file, or that `model.weights` names a file for; ours and libraries' are
    functions of name and seed.

    Raises ConfigError for a callable that fails, weights that don't fit, and a name whose library
    isn't there.
    """
    names = dict.fromkeys((*recipe.architectures, recipe.select.told(ProxyOptions).proxy))
    for name in names:
        require_library(name)
    for entry in recipe.model.weights:
        name = entry.rpartition("=")[0]
        if name and name not in recipe.architectures:
            raise unknown("model.weights: architecture", name, recipe.architectures)
    # A proxy is trained from scratch, whatever its name.
    files = {name: recipe.model.weights_of(name) for name in recipe.architectures}
    own = [name for name in names if is_of_user(name) or files.get(name) is not None]
    if not own:
        return {}
    # torch: a plan of our own networks does without.
    from prac.models.initial import started, weights_digest

    summary = source.summary()
    shape = summary.image_shape or source.load().image_shape
    classes, seed = len(summary.class_names), recipe.search.seed
    return {
        name: weights_digest(
            started(
                name, files.get(name), num_classes=classes, image_shape=shape, seed=seed
            ).state_dict()
        )
        for name in own
    }


def check_networks(
    architectures: Iterable[str],
    images: Pictures,
    *,
    recipe: Recipe,
    precision: Precision,
    graphs: bool = False,
) -> dict[str, NetworkTrial]:
    """What the trial of each network found that isn't ours, or is pruned in another way.

    graphs: whether an export is tried. Raises ConfigError for a network that can't be trained and
    pruned on these images, and for an augmentation of the user's that can't be used.
    """
    if is_custom(recipe.augment.transform):
        from prac.data.augment import check_augmentation  # torch

        check_augmentation(recipe.augment, images.image_shape)
    found = {}
    plain = recipe.prune.layers == PruneConfig.layers and not is_custom(recipe.train.optimizer)
    for name in architectures:
        if find_ours(name) is not None and plain:
            # Tests hold that ours can.
            check_architecture(name, images.num_classes, images.image_shape)
        else:
            found[name] = try_kept(name, images, recipe, precision, graph=graphs)
    return found
