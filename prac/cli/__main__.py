"""`python -m prac.cli`."""

import sys

from prac.cli import main

sys.exit(main())
