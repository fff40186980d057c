"""Prints which version is installed of each package that pyproject.toml names."""

import importlib.metadata
import re

required = importlib.metadata.requires("prac") or []
for name in sorted({re.split(r"[^\w.-]", requirement)[0] for requirement in required}):
    try:
        print(f"{name:20} {importlib.metadata.version(name)}")
    except importlib.metadata.PackageNotFoundError:
        print(f"{name:20} -")
