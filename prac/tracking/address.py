"""The address of the MLflow store: the environment's, or an embedded one's in a folder."""

from __future__ import annotations

import os
import re
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import urlsplit

from prac.errors import ConfigError, without_passwords

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


def default_tracking_uri(home: Path | None = None) -> str:
    """MLFLOW_TRACKING_URI where it is set, else an embedded SQLite store in a folder.

    home: the folder; None is the working folder. Raises ConfigError for what is no address.
    """
    if named := os.environ.get("MLFLOW_TRACKING_URI"):
        return _checked(named)
    try:
        folder = home or Path.cwd()
    except OSError as error:
        raise ConfigError("the working folder is gone: go to another") from error
    if re.search(r"\?|%[0-9a-fA-F]{2}", str(folder)):
        raise ConfigError(
            f"{folder} can't hold a store: the address of a database would end at the ?, and "
            "read % with two digits as a character; use a folder of another name"
        )
    return f"sqlite:///{folder / 'mlflow.db'}"


def _checked(address: str) -> str:
    """What MLflow would refuse in words of its own, in the midst of something."""
    try:
        parts = urlsplit(address)
        server = parts.hostname is not None and (parts.port is None or parts.port > 0)
    except ValueError:  # brackets that don't close, a port that is no number
        server = False
    scheme, separator, path = address.partition("://")
    kind = scheme.lower().partition("+")[0]
    # A name without a scheme is a profile's, or a folder's.
    fits = not separator and kind.partition(":")[0] not in (*_DATABASES, "http", "https")
    if kind in ("http", "https"):
        fits = bool(separator) and server
    elif kind == "sqlite":
        fits = path.startswith("/") and len(path) > 1
    elif separator:
        others = {found.name for found in entry_points(group="mlflow.tracking_store")}
        fits = kind in {*_DATABASES, "file", "databricks", "databricks-uc", "uc", *others}
    if not fits:
        raise ConfigError(
            f"MLFLOW_TRACKING_URI {without_passwords(address)!r} is no address of a store; "
            "allowed: http://HOST:PORT, https://HOST, sqlite:///FILE, "
            "postgresql://USER@HOST/DATABASE, mysql://..., mssql://..."
        )
    return address
