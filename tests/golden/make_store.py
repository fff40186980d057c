"""Make the store anew, from nothing: python tests/golden/make_store.py

Do so only where keys have changed and it is meant; see README.md.
"""

import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from support.golden import RECIPE, STORE, images

import prac
from prac.lottery.folder_store import FolderStore

torch.set_num_threads(1)
shutil.rmtree(STORE, ignore_errors=True)
with tempfile.TemporaryDirectory() as scratch:
    result = prac.search(
        RECIPE, data=images(), store=FolderStore(STORE), how=prac.Local(device="cpu")
    )
    print(result)
    for name in RECIPE.compare:
        print(result[name])
    print([len(chosen) for chosen in result.sets], result.ticket.sparsity)
