"""From the name of a data set to the source that loads it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from prac.config.sections import DataConfig
from prac.data.dataset import Source
from prac.errors import ConfigError, first_line, shown, unknown
from prac.plugins import is_custom

KNOWN = ("digits", "cifar10", "cifar100", "parquet:PATH", "folder:PATH", "package.module:name")


def open_source(config: DataConfig) -> Source:
    """Open `config.source` and check what is cheap to check; no image is decoded yet.

    Raises ConfigError for a name that isn't known, and for a path that holds no data set.
    """
    try:
        return _open(config)
    except (OSError, RuntimeError) as error:  # a path too long, an unknown ~user, no right to look
        raise ConfigError(
            f"data set {shown(config.source)!r} can't be opened ({first_line(error)}); "
            f"allowed: {', '.join(KNOWN)}"
        ) from error


def as_source(data: Any, config: DataConfig) -> Source:
    """A source of a name, an ImageDataset, another source, or images that are handed over.

    Images: `(images, labels)`, arrays `(N, H, W, C)`, `(N, H, W)` or, as torch has them,
    `(N, C, H, W)`, and `(N,)` whole numbers or texts; or a Dataset of `(image, label)`, each image
    an array, a tensor or a PIL image; or a mapping of `train` and `test` (or `validation`) to
    either; a Hugging Face Dataset or DatasetDict. An item may also name its two (`image`, `label`;
    `data.image_column`, `data.label_column`). Without a test split, one is held out
    (`data.test_fraction`).
    Pixels are uint8, or floats that are 0 to 1 in steps of 1/255. Raises ConfigError for anything
    else.
    """
    if isinstance(data, str):
        return open_source(replace(config, source=data))
    from prac.data.given import given_source  # Pillow's conversions: a name needs none of it

    return given_source(data, config)


def _open(config: DataConfig) -> Source:
    # Each branch imports its own module: the digits need neither pyarrow nor Pillow.
    kind, _, path = config.source.partition(":")
    if kind == "parquet" and path:
        from prac.data.parquet import ParquetSource

        return ParquetSource(path, config)
    if kind == "folder" and path:
        from prac.data.image_folder import ImageFolderSource

        return ImageFolderSource(path, config)
    if config.source == "digits":
        from prac.data.digits import DigitsSource

        return DigitsSource(config)
    if config.source in ("cifar10", "cifar100"):
        from prac.data.torchvision_sets import TorchvisionSource

        return TorchvisionSource(config)
    if is_custom(config.source) and not any(kind == name.partition(":")[0] for name in KNOWN):
        from prac.data.called import CalledSource

        return CalledSource(config)
    raise unknown("data set", config.source, KNOWN)
