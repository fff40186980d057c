"""The check of an architecture before anything long starts; without torch for our own."""

from __future__ import annotations

from prac.models.catalogue import ImageShape, find_ours, require_pixels

# torch takes a second to import: plans, replays and checks of names do without.


def check_architecture(architecture: str, num_classes: int, image_shape: ImageShape) -> None:
    """Refuse what can't be trained on these images, before anything long starts.

    Ours fit all images of their smallest size and above (tests hold that); any other model is
    built and run once on two images of zeros.

    Args:
        architecture: a name as in `build_model`.
        num_classes: width of the output.
        image_shape: `(H, W, C)`.

    Raises:
        ConfigError: as `build_model`, or the output isn't `(2, num_classes)`.
    """
    ours = find_ours(architecture)
    if ours is not None:
        require_pixels(architecture, ours.min_pixels, image_shape)
        return
    from prac.models.registry import build_model

    build_model(architecture, num_classes=num_classes, image_shape=image_shape, seed=0)
