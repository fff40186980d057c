"""What of MLflow's inside is used, because nothing public does it. Seen in MLflow 3.9 and 3.17."""

from __future__ import annotations

CODE_LOADER = "mlflow.pyfunc.loaders.code_model"
"""What loads a model that is kept as code: `mlflow.pyfunc.save_model` writes its name."""

ADDED_FILE = "registered_model_meta"
"""The file that MLflow writes beside a registered model which it downloads."""

VIEW_TAG = "mlflow.sharedViewState."
"""With a view's name behind it: the tag of an experiment in which its page looks for the view."""


def delete_artifacts(artifact_uri: str, tracking_uri: str) -> None:
    """Delete all files of a run; deleting the run leaves them, for `mlflow gc` on the server."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    repository = get_artifact_repository(artifact_uri, tracking_uri=tracking_uri)
    repository.delete_artifacts()  # type: ignore[no-untyped-call]
