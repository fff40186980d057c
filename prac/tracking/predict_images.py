"""Predicts class names from images: the code that MLflow runs of a served ticket.

It is stored beside the exported graph as plain text, and needs neither `prac` nor a pickle.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from mlflow.pyfunc.model import PythonModel


class PredictImages(PythonModel):
    """Images (N, H, W, C) to a list of class names."""

    def load_context(self, context: Any) -> None:
        """Load the graph; an archive that would be unpickled is refused."""
        facts = json.loads(Path(context.artifacts["facts"]).read_text())
        self.class_names: list[str] = facts["class_names"]
        self.shape = tuple(facts["image_shape"])
        refuse_pickles(context.artifacts["graph"])
        self.graph = torch.export.load(context.artifacts["graph"]).module()

    def predict(
        self,
        context: Any,
        model_input: np.ndarray,  # MLflow knows this spelling only
        params: dict[str, Any] | None = None,
    ) -> list[str]:
        """Class names of images (N, H, W, C), or of one (H, W, C).

        Whole numbers are pixels from 0 to 255, as files have them; fractions are from 0 to 1.
        """
        images = np.asarray(model_input)
        if images.shape == self.shape:
            images = images[None]
        if images.shape[1:] != self.shape:
            raise mlflow.MlflowException.invalid_parameter_value(
                f"images of shape {images.shape[1:]}; allowed: (N, H, W, C) with {self.shape}"
            )
        largest = 1 if np.issubdtype(images.dtype, np.floating) else 255
        # A guess at the scale would be a wrong answer that nobody notices.
        if images.size and not (images.min() >= 0 and images.max() <= largest):
            raise mlflow.MlflowException.invalid_parameter_value(
                "pixels are whole numbers from 0 to 255, or fractions from 0 to 1"
            )
        pixels = np.rint(images * (255 // largest)).astype(np.uint8)
        with torch.inference_mode():
            classes = self.graph(torch.from_numpy(pixels)).argmax(dim=1).tolist()
        return [self.class_names[index] for index in classes]


def refuse_pickles(path: str) -> None:
    """torch.export.load unpickles what a changed archive brings; ours has raw numbers and JSON."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            _, _, record = name.partition("/")
            if record == "data/sample_inputs/model.pt":
                with archive.open(name) as file:
                    torch.load(file, weights_only=True)
            elif record.endswith("_config.json"):
                entries = json.loads(archive.read(name))["config"].values()
                if any(e["use_pickle"] or not e["tensor_meta"] for e in entries):
                    raise ValueError(f"{path}: {name} asks for a pickle; it was changed")
            elif not record.startswith(
                ("data/weights/weight_", "data/constants/tensor_", "models/", ".data/", "archive_")
            ) and record not in ("byteorder", "version"):
                raise ValueError(f"{path}: {name} has no place in it; it was changed")


mlflow.models.set_model(PredictImages())
