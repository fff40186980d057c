"""Many selections on one dense run: what does the threshold cost, and what does it save?

python pipelines/sweep.py --vary select.threshold=0,1,2,4,6,8
"""

import sys

from prac.cli.sweep import sweep_pipeline

if __name__ == "__main__":
    sys.exit(sweep_pipeline())
