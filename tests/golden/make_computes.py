"""Write computes.json anew: python tests/golden/make_computes.py

Do so after the versions of the kinds that make something else were raised; see README.md.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.computes import Code
from support.golden import COMPUTES

from prac.lottery.kinds import KINDS

code = Code()
rows = {
    kind.name: {"version": kind.version, "computes": code.digest(kind.name)}
    for kind in KINDS.values()
    if kind.run is not None
}
COMPUTES.write_text(json.dumps(rows, indent=1) + "\n")
print(f"{len(rows)} kinds")
