"""What an architecture's forward pass costs."""

from __future__ import annotations

from prac.models.catalogue import ImageShape
from prac.models.describe import forward_flops
from prac.models.registry import build_model


def dense_flops(architecture: str, *, num_classes: int, image_shape: ImageShape) -> int:
    """FLOPs of one image through the dense network, counted as it runs."""
    model = build_model(architecture, num_classes=num_classes, image_shape=image_shape, seed=0)
    return sum(forward_flops(model, image_shape).values())
