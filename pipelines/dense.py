"""Dense training and its events alone: what every selection, sweep and transfer starts from.

python pipelines/dense.py --recipe cifar10_resnet20s --workers 2
"""

import sys

from prac.cli import pipeline

if __name__ == "__main__":
    sys.exit(
        pipeline(
            "Train the dense networks with events, and reduce the events to statistics.",
            only=("dense", "reduce"),
            defaults={"compare": [], "judge": "none"},
        )
    )
