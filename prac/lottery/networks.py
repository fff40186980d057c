"""What of a user's network is in keys beside its source: the weights that it begins with."""

from __future__ import annotations

from prac.config.sections import Recipe
from prac.data.dataset import Source
from prac.plugins import is_custom


def initial_digests(recipe: Recipe, source: Source, seed: int) -> dict[str, str]:
    """The digest of the initial weights of each network that is a callable of the user's, which may
    load them from a file; ours and torchvision's are functions of name and seed.

    Raises ConfigError for a callable that fails.
    """
    own = [
        name
        for name in dict.fromkeys((*recipe.architectures, recipe.select.proxy))
        if is_custom(name) and not name.startswith("torchvision:")
    ]
    if not own:
        return {}
    # torch: a plan of our own networks does without.
    from prac.models import build_model
    from prac.models.initial import weights_digest

    summary = source.summary()
    shape = summary.image_shape or source.load().image_shape
    classes = len(summary.class_names)
    return {
        name: weights_digest(
            build_model(name, num_classes=classes, image_shape=shape, seed=seed).state_dict()
        )
        for name in own
    }
