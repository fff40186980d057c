"""Where real files are that are too large for the repository; tests that need them skip without."""

from __future__ import annotations

import os
from pathlib import Path

BESIDE = Path(__file__).resolve().parents[3] / "shared"
SHARED = Path(os.environ.get("PRAC_SHARED") or BESIDE)
"""The folder beside the repository, unless PRAC_SHARED names another."""
if "PRAC_SHARED" in os.environ and not SHARED.is_dir():
    raise NotADirectoryError(f"PRAC_SHARED is {SHARED}, which is not a folder")
CIFAR10 = SHARED / "data" / "cifar10"
"""Parquet files in the Hugging Face image layout."""
KUBERAY = SHARED / "kuberay-crds"
"""KubeRay's resource definitions."""
