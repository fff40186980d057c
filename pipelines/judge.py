"""Judge more tickets of a finished pipeline: only the judgements run, all else is found.

python pipelines/judge.py --judge all
"""

import sys

from prac.cli import pipeline

if __name__ == "__main__":
    sys.exit(
        pipeline(
            "Train tickets alone from their rewind weights and test them once.",
            defaults={"judge": "all"},
        )
    )
