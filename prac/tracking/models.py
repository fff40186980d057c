"""A judged ticket as an MLflow model: the folder that holds the ticket is also what MLflow loads.

One folder, three ways in: `Ticket.load` reads mask and weights to train them; `mlflow.pytorch`
loads the exported graph, which needs nothing of ours; `mlflow.pyfunc` and `mlflow models serve`
answer with class names. The graph is a `torch.export` archive, the code around it plain text
(models from code): no pickle. All of it is in the manifest of the stage, with checksums.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
import tempfile
from pathlib import Path

from prac.ticket.export import image_classifier, write_pt2
from prac.ticket.format import Ticket
from prac.tracking.mlflow_internals import CODE_LOADER

# MLflow takes a second to import: whoever only names a store, as a plan does, needs none of it.

DATA, GRAPH, FACTS, CODE = "data", "model.pt2", "classes.json", "predict_images.py"
_REQUIRED = ("mlflow", "torch", "numpy")


def write_model(ticket: Ticket, folder: Path) -> None:
    """Add what MLflow needs to load the ticket's trained network to the folder of the ticket.

    The graph takes `(N, H, W, C) uint8`, 0 to 255, and gives logits; pixels are normalised inside.
    Raises TicketError for a ticket without trained weights and for a network that can't be traced;
    the folder is then as it was.
    """
    from mlflow.models import Model

    classifier = image_classifier(ticket, "trained")
    facts = {key: ticket.lineage[key] for key in ("class_names", "image_shape", "architecture")}
    data = folder / DATA
    # The graph first: a network that can't be traced leaves nothing here.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".prac-graph-") as scratch:
        write_pt2(classifier, tuple(ticket.lineage["image_shape"]), Path(scratch) / GRAPH)
        data.mkdir(parents=True, exist_ok=True)
        (Path(scratch) / GRAPH).replace(data / GRAPH)
    (data / FACTS).write_text(json.dumps(facts, indent=2) + "\n")
    shutil.copyfile(Path(__file__).with_name(CODE), folder / CODE)
    _write_environment(folder)
    # Written by hand, as `mlflow.pyfunc.save_model` would: that runs the model to find out what is
    # known here, and leaves paths of this machine in the file.
    model = Model(metadata={**facts, "pixels": "uint8 (N, H, W, C), 0 to 255"})
    model.add_flavor(
        "python_function",
        loader_module=CODE_LOADER,
        model_code_path=CODE,
        artifacts={"graph": {"path": f"{DATA}/{GRAPH}"}, "facts": {"path": f"{DATA}/{FACTS}"}},
        env={"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
        python_version=platform.python_version(),
        code=None,
        streamable=False,
    )
    torch_version = importlib.metadata.version("torch")
    model.add_flavor("pytorch", model_data=DATA, pytorch_version=torch_version, code=None)
    model.save(str(folder / "MLmodel"))


def _write_environment(folder: Path) -> None:
    requirements = [f"{name}=={importlib.metadata.version(name)}" for name in _REQUIRED]
    version = platform.python_version()
    (folder / "requirements.txt").write_text("\n".join(requirements) + "\n")
    # JSON is YAML.
    conda = {
        "name": "prac-ticket",
        "channels": ["conda-forge"],
        "dependencies": [f"python={version}", "pip", {"pip": requirements}],
    }
    (folder / "conda.yaml").write_text(json.dumps(conda, indent=2) + "\n")
    virtualenv = {"python": version, "dependencies": ["-r requirements.txt"]}
    (folder / "python_env.yaml").write_text(json.dumps(virtualenv, indent=2) + "\n")


def usage(where: str, image_shape: tuple[int, ...]) -> str:
    """Markdown: how to predict with a registered ticket, and to serve it."""
    shape = ", ".join(map(str, image_shape))
    return (
        "Predict, whoever made it: safetensors, and no code but `prac`'s.\n\n"
        "```python\nimport prac, torch\nfrom prac.ticket.export import image_classifier\n"
        f'classify = image_classifier(prac.Ticket.load("{where}"))\n'
        f"classify(torch.zeros((1, {shape}), dtype=torch.uint8))  # logits\n```\n\n"
        "Without `prac`, where you trust whoever wrote to this store: MLflow runs the code that "
        "lies in the model, and what its graph names. Whole pixels are 0 to 255, fractions 0 to "
        "1.\n\n"
        "```python\nimport mlflow, numpy\n"
        f'model = mlflow.pyfunc.load_model("{where}")\n'
        f'model.predict(numpy.zeros((1, {shape}), "uint8"))  # names of classes\n'
        f'graph = mlflow.pytorch.load_model("{where}")  # uint8 images to logits\n```\n\n'
        "Serve it:\n\n"
        f"```bash\nmlflow models serve -m {where} --env-manager local --port 5001\n"
        'curl localhost:5001/invocations -H "Content-Type: application/json" '
        "-d '{\"inputs\": [IMAGE]}'\n```\n"
    )
