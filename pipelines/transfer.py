"""PrAC sets of one architecture, tickets of others.

python pipelines/transfer.py --transfer-from resnet20s --architectures resnet20s resnet56s vgg16
"""

import sys

from prac.cli import pipeline

if __name__ == "__main__":
    sys.exit(
        pipeline(
            "Find tickets of several architectures on the PrAC sets that one of them makes.",
            required=("transfer_from",),
        )
    )
