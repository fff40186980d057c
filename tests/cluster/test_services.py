"""Three nodes, MLflow on PostgreSQL, artifacts and events in an S3 store: the same tickets."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, services: Any) -> Iterator[Any]:
    """Three nodes of one CPU each, and every service that they need."""
    for module in ("moto", "boto3", "psycopg"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: pip install -e '.[test]'")
    programs = services.postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    folder = tmp_path_factory.mktemp("three")
    with (
        services.object_store(folder / "s3", "prac") as aws,
        services.postgres(programs) as database,
        services.tracker(folder / "mlflow", database, "s3://prac/mlflow", aws) as tracker,
        services.nodes(folder / "ray", aws, 1, 1, 1) as nodes,
    ):
        yield SimpleNamespace(aws=aws, uri=tracker.uri, env=nodes.env)


def test_same_tickets_as_on_one_node(
    three: Any, tmp_path: Path, services: Any, words: list[str], reference: Any, found: Any
) -> None:
    import boto3

    started = time.monotonic()
    env = {**three.env, "MLFLOW_TRACKING_URI": three.uri}
    run = services.pipeline(tmp_path, env, *words, "--storage", "s3://prac/storage")
    try:
        assert run.wait() == 0, run.said
    finally:
        run.end()
    print(f"\nthree nodes, PostgreSQL, S3: {time.monotonic() - started:.0f} s")
    found.of(three.uri).assert_same(reference)
    client = boto3.client(
        "s3",
        endpoint_url=three.aws["AWS_ENDPOINT_URL"],
        aws_access_key_id=three.aws["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=three.aws["AWS_SECRET_ACCESS_KEY"],
        region_name="us-east-1",
    )
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="prac")
    names = [o["Key"] for page in pages for o in page.get("Contents", [])]
    assert any(n.startswith("mlflow/") and n.endswith("next_mask.safetensors") for n in names)
    events = [n for n in names if n.startswith("storage/") and n.endswith(".parquet")]
    # Two workers wrote eight epochs of dense training; rounds clean up behind them.
    assert len(events) == 2 * 8, events
    assert not [n for n in names if "checkpoint.safetensors" in n or "/train-" in n], names
    # Nothing of the run but its report lies on the driver's own disk.
    left = {path.parts[len(tmp_path.parts)] for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"run.log", "token", "prac-runs"} or left == {"run.log", "prac-runs"}, left
    assert "secret-of-the-test" not in run.said


def test_local_store_is_refused_before_the_start(three: Any, tmp_path: Path, services: Any) -> None:
    words = ["--architectures", "conv4", "--rounds", "1", "--compare"]
    local = services.pipeline(tmp_path, three.env, *words, "--storage", "s3://prac/x", name="local")
    assert local.wait() == 2, local.said
    *_, line = local.said.strip().splitlines()
    assert line.startswith("error: the cluster has several nodes and the MLflow store sqlite:///")
    assert "MLFLOW_TRACKING_URI" in line

    env = {**three.env, "MLFLOW_TRACKING_URI": three.uri}
    events = services.pipeline(tmp_path, env, *words, name="events")
    assert events.wait() == 2, events.said
    *_, line = events.said.strip().splitlines()
    assert line.startswith(f"error: the cluster has several nodes and the storage {tmp_path}")
    assert "--storage-is-shared" in line
