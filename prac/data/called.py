"""A data set that a function of yours makes: `package.module:callable`."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

from prac.config.sections import DataConfig
from prac.data.dataset import DataSummary, ImageDataset
from prac.data.given import given_source
from prac.data.splits import slug
from prac.errors import ConfigError, first_line
from prac.fingerprint import fingerprint
from prac.plugins import identity, load_custom


class CalledSource:
    """What the callable returns, as `prac.data.sources.as_source` takes it: a torch Dataset,
    arrays, a mapping of splits, Hugging Face data sets, or a source. It is called without
    arguments, or with the `DataConfig` where it takes one. Its fingerprint is of its source and of
    what it returned.
    """

    def __init__(self, config: DataConfig) -> None:
        """Call it. Raises ConfigError, in one line, for what fails and for what can't be used."""
        self._source_name = config.source
        made = load_custom("data set", config.source)
        if not callable(made):
            raise ConfigError(f"data set {config.source!r} is no callable; allowed: a function")
        try:
            data = made(config) if _takes_one(made) else made()
        except ConfigError:
            raise
        except (Exception, SystemExit) as error:
            raise ConfigError(
                f"data set {config.source!r} failed when it was called: {type(error).__name__}: "
                f"{first_line(error)}"
            ) from error
        if isinstance(data, str):
            raise ConfigError(f"data set {config.source!r} returned a text; allowed: images")
        try:
            self._inner = given_source(data, config)
        except ConfigError as error:
            raise ConfigError(f"data set {config.source!r}: {error}") from error
        given = self._inner.name
        self.name = slug(config.source.partition(":")[2]) if given == "given" else given

    def summary(self) -> DataSummary:
        return self._inner.summary()

    def fingerprint(self) -> str:
        """32 hexadecimal digits: the source of the callable, and what it returned."""
        return fingerprint(("called", identity(self._source_name), self._inner.fingerprint()))

    def load(self) -> ImageDataset:
        """The data set, under its own name and fingerprint."""
        return replace(self._inner.load(), name=self.name, fingerprint=self.fingerprint())


def _takes_one(made: Any) -> bool:
    try:
        parameters = inspect.signature(made).parameters.values()
    except (TypeError, ValueError):
        return False
    return any(
        p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        for p in parameters
    )
