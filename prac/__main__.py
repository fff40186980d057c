"""`python -m prac`."""

import sys

from prac.cli import main

sys.exit(main())
