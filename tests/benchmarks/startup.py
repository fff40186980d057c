"""Seconds until something happens: help, a plan, a replay, a worker's first step.

python tests/benchmarks/startup.py [--quick]
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import Row, parser, show

ROOT = Path(__file__).parents[2]
SMALL = ["--architectures", "conv4", "--compare", "--epochs", "2", "--workers", "1"]
FEW, MANY = 1, 13
"""Rounds of two pipelines, whose difference is that of their stages."""

FIRST_STEP = """
import json, os, sys, time
import psutil
born = psutil.Process().create_time()
marks = {"python": time.time() - born}
def mark(name):
    marks[name] = time.time() - born
import ray
mark("ray")
MODULES
mark("imports")
import numpy as np, torch
torch.set_num_threads(1)
from prac.config.sections import AugmentConfig
from prac.data.batches import DeviceImages
from prac.data.dataset import ImageDataset
from prac.models.registry import build_model
from prac.training.loop import Training, train
from prac.config.sections import TrainConfig
from prac.training.schedule import full_budget
images, labels = np.zeros((200, 32, 32, 3), np.uint8), np.arange(200) % 10
ids = np.arange(200, dtype=np.int32)
dataset = ImageDataset(name="x", fingerprint="x", class_names=tuple("0123456789"),
    train_images=images, train_labels=labels, test_images=images, test_labels=labels,
    training_ids=ids[:128], validation_ids=ids[128:129], mean=(0.5,) * 3, std=(0.5,) * 3)
model = build_model("resnet20s", num_classes=10, image_shape=(32, 32, 3), seed=0)
config = TrainConfig(epochs=1, milestones=(), learning_rate=0.1, precision="fp32")
train(model, Training(run="x", images=DeviceImages(dataset, AugmentConfig()), sample_ids=ids[:128],
    config=config, budget=full_budget(config, 128), seed=0, stream=("x",)))
mark("first step")
print(json.dumps(marks))
"""
ROUND = """
import prac.distributed.executor
import prac.lottery.steps.training
"""
WORKERS = {
    "a round's process": ROUND,
    "a Ray Train worker": "import prac.distributed.dense",
    "Ray Train and torch alone": "import ray.train.torch",
    "torch alone": "import torch",
}


def timed(command: list[str], repeats: int) -> tuple[float, float]:
    """The least wall time and the least processor time of a command, in seconds."""
    walls, processor = [], []
    for _ in range(repeats):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment())
        walls.append(time.perf_counter() - started)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        processor.append(used)
    return min(walls), min(processor)


def environment() -> dict[str, str]:
    """One thread, this project first on the path."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def first_step(modules: str, repeats: int) -> dict[str, float]:
    """Seconds from the start of a process to each mark; the run with the earliest first step."""
    program = FIRST_STEP.replace("MODULES", modules)
    runs = []
    for _ in range(repeats):
        done = subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            capture_output=True,
            text=True,
            env=environment(),
        )
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    return min(runs, key=lambda marks: marks["first step"])


def a_stage(command: list[str]) -> Row:
    """Wall time that one more stage of a fresh pipeline takes: one run of few rounds, one of many.

    Of every three one trains (two epochs of digits), and that is counted too: what the pipeline
    adds to it is less.
    """
    walls: dict[int, float] = {}
    stages: dict[int, int] = {}
    for rounds in (FEW, MANY):
        with tempfile.TemporaryDirectory() as home:
            started = time.perf_counter()
            fresh = [*command, "--home", home, "--rounds", str(rounds)]
            subprocess.run(fresh, check=True, stdout=subprocess.DEVNULL, env=environment())
            walls[rounds] = time.perf_counter() - started
            # The same in the report's folder and among MLflow's artifacts.
            table = next(Path(home).glob("**/tables/stages.csv"))
            stages[rounds] = len(table.read_text().splitlines()) - 1
    added = stages[MANY] - stages[FEW]
    return {"what": "a stage more, fresh", "seconds": (walls[MANY] - walls[FEW]) / added}


def main() -> None:
    """Parse, measure, show."""
    options = parser(__doc__).parse_args()
    repeats = 1 if options.quick else 3
    full = [sys.executable, str(ROOT / "pipelines" / "full.py")]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as home:
        here = ["--home", home, *SMALL, "--rounds", str(FEW)]
        commands = {
            "prac --help": [sys.executable, "-m", "prac", "--help"],
            "pipelines/full.py --plan": [*full, "--home", home, "--plan"],
            "a finished pipeline again": [*full, *here],
        }
        subprocess.run([*full, *here], check=True, stdout=subprocess.DEVNULL, env=environment())
        rows.append(a_stage([*full, *SMALL]))
        for name, command in commands.items():
            wall, processor = timed(command, repeats)
            rows.append({"what": name, "seconds": wall, "processor seconds": processor})
    for name, modules in WORKERS.items():
        marks = first_step(modules, repeats)
        rows.append(
            {
                "what": f"first step of {name}",
                "seconds": marks["first step"],
                "imports done": marks["imports"],
            }
        )
    show("startup: seconds, least of several", rows, options.json)


if __name__ == "__main__":
    main()
