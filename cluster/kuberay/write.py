"""Writes what stands in two places: the spec of ray-cluster.yaml into ray-job.yaml, and the version
of Ray that docker/requirements.lock pins into both. Changes nothing where both agree."""

import re
import textwrap
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
LOCK = FOLDER.parents[1] / "docker" / "requirements.lock"
SPEC = "  rayClusterSpec:\n"


def manifests() -> dict[Path, str]:
    """What both files have to hold, by file. Raises ValueError where a place is missing."""
    cluster, job = FOLDER / "ray-cluster.yaml", FOLDER / "ray-job.yaml"
    pinned = re.search(r"^ray==(\S+)", LOCK.read_text(), re.MULTILINE)
    _, version, _ = re.split(r"(?<=^  rayVersion: )(\S+)", cluster.read_text(), flags=re.MULTILINE)
    if pinned is None:
        raise ValueError(f"{LOCK} pins no ray")
    text = cluster.read_text().replace(f"rayVersion: {version}", f"rayVersion: {pinned[1]}")
    head, _ = job.read_text().split(SPEC)
    spec = text.split("\nspec:\n")[1]
    return {cluster: text, job: head + SPEC + textwrap.indent(spec, "  ")}


if __name__ == "__main__":
    for file, text in manifests().items():
        file.write_text(text)
