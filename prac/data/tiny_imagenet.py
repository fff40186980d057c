"""Tiny ImageNet as its archive unpacks: `tiny-imagenet-200/` with lists beside its folders.

`train/WNID/images/*.JPEG` are the training split; `val/images/*` with `val/val_annotations.txt` is
the test split, because the images in `test/` have no labels; `wnids.txt` lists the classes and
`words.txt` names them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from prac.errors import ConfigError

ANNOTATIONS = "val_annotations.txt"


def annotations_of(root: Path) -> Path | None:
    """The list of validation labels, by which this layout is recognised; None for another."""
    file = root / "val" / ANNOTATIONS
    return file if file.is_file() else None


def annotated_images(annotations: Path, where: str) -> list[tuple[Path, str]]:
    """Files and classes that the list names, sorted by the file's name.

    where: the data set as the user named it. Raises ConfigError for lines that name no image.
    """
    lines = annotations.read_text(encoding="utf-8").splitlines()
    rows = sorted(line.split("\t")[:2] for line in lines if line)
    folder = annotations.parent / "images"
    absent = [row[0] for row in rows if len(row) < 2 or not (folder / row[0]).is_file()]
    if absent or not rows:
        raise ConfigError(
            f"{where}: {len(absent)} of {len(rows)} lines of val/{ANNOTATIONS} name no "
            f"image in val/images ({', '.join(absent[:5])}); allowed: FILE, a tab, CLASS"
        )
    return [(folder / row[0], row[1]) for row in rows]


def check_classes(root: Path, found: Sequence[str], where: str) -> None:
    """Raise ConfigError where the folders in `train` are not the classes that wnids.txt lists."""
    file = root / "wnids.txt"
    if not file.is_file():
        return
    listed = set(file.read_text(encoding="utf-8").split())
    wrong = sorted(listed.symmetric_difference(found))
    if wrong:
        raise ConfigError(
            f"{where}: {len(wrong)} classes are in only one of wnids.txt and train/ "
            f"({', '.join(wrong[:5])}); allowed: the {len(listed)} classes of wnids.txt"
        )


def class_names(root: Path, identifiers: Sequence[str]) -> tuple[str, ...]:
    """The first name that words.txt gives each WordNet identifier, in the given order.

    The identifier stands for a class that isn't named, and beside a name that two classes have.
    """
    file = root / "words.txt"
    if not file.is_file():
        return tuple(identifiers)
    lines = (line.partition("\t") for line in file.read_text(encoding="utf-8").splitlines())
    words = {identifier: names.partition(",")[0].strip() for identifier, _, names in lines}
    first = [words.get(identifier) or identifier for identifier in identifiers]
    count = Counter(first)
    return tuple(
        name if count[name] == 1 else f"{name} ({identifier})"
        for name, identifier in zip(first, identifiers, strict=True)
    )
