"""Predicts class names from images: the code that MLflow runs of a served ticket.

It is stored beside the exported graph as plain text, and needs neither `prac` nor a pickle.
"""

import ast
import io
import json
import re
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
        """Load the graph; an archive that would run code is refused."""
        facts = json.loads(Path(context.artifacts["facts"]).read_text())
        self.class_names: list[str] = facts["class_names"]
        self.shape = tuple(facts["image_shape"])
        self.graph = torch.export.load(checked(context.artifacts["graph"])).module()

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


_RECORDS = ("data/weights/weight_", "data/constants/tensor_", "models/", ".data/", "archive_")
_EXPRESSIONS = {"Symbol", "Integer", "Rational", "Add", "Mul", "FloorDiv", "Mod", "Max", "Min"}
_OPERATORS = ("getitem", "add", "sub", "mul", "floordiv", "mod", "eq", "ge", "le", "lt", "gt")
_TARGET = re.compile(
    rf"torch\.ops\.aten\.(?!from_file\b)\w+\.\w+|_operator\.({'|'.join(_OPERATORS)})"
)


def checked(path: str) -> io.BytesIO:
    """The archive of a graph, written anew from what was looked at; ValueError where it could run.

    `torch.export.load` unpickles what a changed archive brings, evaluates its expressions, calls
    whatever it names and makes code of its names. Ours has raw numbers, arithmetic and operators.
    """
    records: dict[str, bytes] = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            _, _, record = name.partition("/")
            known = record.startswith(_RECORDS) or record.endswith("_config.json")
            if not known and record not in ("byteorder", "version", "data/sample_inputs/model.pt"):
                raise ValueError(f"{path}: {name} has no place in it; it was changed")
            if record in records:
                raise ValueError(f"{path}: {name} is there twice; it was changed")
            records[record] = archive.read(name)
    for record, data in records.items():
        if record == "data/sample_inputs/model.pt":
            torch.load(io.BytesIO(data), weights_only=True)
        elif record.endswith("_config.json"):
            entries = json.loads(data)["config"].values()
            if any(e["use_pickle"] or not e["tensor_meta"] for e in entries):
                raise ValueError(f"{path}: {record} asks for a pickle; it was changed")
        elif record.endswith(".json"):
            graph = json.loads(data)
            _refuse_code(graph, f"{path}: {record}")
            records[record] = json.dumps(graph).encode()
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for record, data in records.items():
            archive.writestr(f"model/{record}", data)
    written.seek(0)
    return written


def _refuse_code(value: Any, where: str, name: str = "") -> None:
    """Look at all texts of a graph; what tells only where it comes from is taken out."""
    if isinstance(value, dict):
        value.get("metadata", {}).clear()
        for key, inner in value.items():
            _refuse_code(key, where)
            _refuse_code(inner, where, key)
    elif isinstance(value, list):
        for inner in value:
            _refuse_code(inner, where, name)
    elif isinstance(value, str) and not _is_plain(value, where, name):
        raise ValueError(f"{where} would run {value[:80]!r}; it was changed")


def _is_plain(value: str, where: str, name: str) -> bool:
    if name == "expr_str":
        return len(value) < 1000 and _is_arithmetic(ast.parse(value, mode="eval").body)
    if name == "target":
        return _TARGET.fullmatch(value) is not None
    if name in ("in_spec", "out_spec"):
        _refuse_code(json.loads(value), where, "spec")
        return True
    if name == "type":
        return value in ("builtins.tuple", "builtins.list", "builtins.dict", "cpu")
    # `guards_code` is run as it is; of names code is made.
    return name != "guards_code" and re.fullmatch(r"[\w.:+ \[\]-]*", value) is not None


def _is_arithmetic(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        parts = [*node.args, *(keyword.value for keyword in node.keywords)]
        named = isinstance(node.func, ast.Name) and node.func.id in _EXPRESSIONS
        return named and all(map(_is_arithmetic, parts))
    if isinstance(node, ast.UnaryOp):
        return isinstance(node.op, ast.USub) and _is_arithmetic(node.operand)
    if not isinstance(node, ast.Constant):
        return False
    known = isinstance(node.value, int) or node.value is None
    return known or (isinstance(node.value, str) and node.value.isidentifier())


mlflow.models.set_model(PredictImages())
