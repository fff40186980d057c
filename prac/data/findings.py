"""What of a data set a person should know before paying for a search: sentences, not errors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from prac.data.refusals import NUM_NAMED
from prac.errors import shown

UNBALANCED = 3
"""From this ratio of the largest class to the smallest on, classes are called unbalanced."""


def class_notes(
    class_names: Sequence[str], train_labels: NDArray[np.int64], test_labels: NDArray[np.int64]
) -> list[str]:
    """Classes without rows, with few, that are never tested, or whose names are nearly the same.

    train_labels: of the whole training split, validation rows among them.
    """
    counts = np.bincount(train_labels, minlength=len(class_names))
    tested = np.bincount(test_labels, minlength=len(class_names))
    told = []
    for rows, what in (
        (np.flatnonzero(counts == 0), "have no training row"),
        (np.flatnonzero((tested == 0) & (counts > 0)), "have no test row"),
    ):
        if len(rows):
            named = ", ".join(shown(class_names[row]) for row in rows[:NUM_NAMED])
            more = ", ..." if len(rows) > NUM_NAMED else ""
            told.append(f"{len(rows)} of {len(class_names)} classes {what} ({named}{more})")
    alike: dict[str, list[str]] = {}
    for name in class_names:
        alike.setdefault(" ".join(name.casefold().split()), []).append(shown(name))
    for names in [found for found in alike.values() if len(found) > 1][:NUM_NAMED]:
        several = ", ".join(f"'{name}'" for name in names[:NUM_NAMED])
        told.append(f"{len(names)} classes have names that differ in case or spaces: {several}")
    present = counts[counts > 0]
    if present.max() >= UNBALANCED * present.min():
        small, large = (int(np.flatnonzero(counts == n)[0]) for n in (present.min(), present.max()))
        told.append(
            f"classes are unbalanced: '{shown(class_names[large])}' has {counts[large]:,} training "
            f"rows, '{shown(class_names[small])}' {counts[small]:,}"
        )
    return told


def image_notes(train: Sequence[bytes], test: Iterable[bytes]) -> list[str]:
    """Images that are in both splits, by the digests of their content."""
    known = set(train)
    rows = list(test)
    both = sum(digest in known for digest in rows)
    if not both:
        return []
    return [f"{both:,} of {len(rows):,} test images are training images too"]


def constant_notes(images: NDArray[np.uint8]) -> list[str]:
    """Images that are one flat colour."""
    flat = 0
    for image in images:
        pixels = image.reshape(-1, image.shape[-1])
        flat += bool((pixels == pixels[0]).all())
    return [f"{flat:,} of {len(images):,} training images are one flat colour"] if flat else []


def row_digests(images: NDArray[np.uint8]) -> list[bytes]:
    """A digest of each image's pixels."""
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]
