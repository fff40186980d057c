"""What an architecture's forward pass costs."""

from __future__ import annotations

from prac.models.catalogue import Pictures
from prac.models.describe import forward_flops
from prac.models.registry import network_for


def dense_flops(architecture: str, images: Pictures) -> int:
    """FLOPs of one image through the dense network, counted as it runs."""
    return sum(forward_flops(network_for(images, architecture), images.image_shape).values())
