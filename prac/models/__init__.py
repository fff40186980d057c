"""Architectures by name; `prac.models.registry`, which needs torch, builds them."""
