"""The making of an embedded database: beside its place, and moved there whole."""

from __future__ import annotations

import fcntl
from pathlib import Path


def make_database(file: Path) -> None:
    """Make an empty MLflow database; nothing happens where it is there. Raises OSError.

    MLflow migrates a new database in place: killed in between, it never opens again. So it is made
    under another name, under a lock that a killed process gives back; what such a one left is
    made anew. Several first starts at once all find the one that was first.
    """
    with open(file.with_name(f".{file.name}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if file.is_file():
            return
        making = file.with_name(f".{file.name}.making")
        for left in file.parent.glob(f"{making.name}*"):
            left.unlink()
        from mlflow import MlflowClient  # seconds, only where there is no database yet

        MlflowClient(f"sqlite:///{making}").search_experiments(max_results=1)
        making.rename(file)
