"""Where artifacts are on this machine."""

from __future__ import annotations

from pathlib import Path
from urllib.request import url2pathname


def local_folder(uri: str) -> Path | None:
    """The path of artifacts on this machine, as MLflow reads it: a path or a `file:` URI, `%20` in
    either a space; None for those elsewhere."""
    scheme, _, rest = uri.partition(":")
    if scheme == "file":
        host, slash, path = rest.removeprefix("//").partition("/")
        uri = slash + path if host in ("", "localhost") else ""
    path_here = Path(url2pathname(uri))
    return path_here if path_here.is_absolute() and "://" not in uri else None
