"""Write keys.json anew: python tests/golden/make_keys.py

Do so only where a change of keys is meant; see README.md.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.golden import KEYS, frozen_graph

keys = {name: stage.key for name, stage in frozen_graph().stages.items()}
KEYS.write_text(json.dumps(keys, indent=1) + "\n")
print(f"{len(keys)} keys")
