"""The whole pipeline: dense training, PrAC sets, rounds, tickets, judgements, report.

python pipelines/full.py
python pipelines/full.py --data parquet:PATH --architectures resnet20s vgg16 --rounds 3
"""

import sys

from prac.cli import pipeline

if __name__ == "__main__":
    sys.exit(pipeline("Find lottery tickets on PrAC sets, from dense training to the report."))
