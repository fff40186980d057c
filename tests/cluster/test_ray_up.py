"""The file of `ray up`: valid by schema, and closed where it must be closed."""

import importlib.resources
import json
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster"

RAY_UP = yaml.safe_load((CLUSTER / "ray-cluster.yaml").read_text())


def test_ray_up_file_follows_the_schema_of_ray():
    jsonschema = pytest.importorskip("jsonschema")
    pytest.importorskip("ray")
    schema = json.loads(
        importlib.resources.files("ray.autoscaler").joinpath("ray-schema.json").read_text()
    )

    errors = jsonschema.Draft202012Validator(schema).iter_errors(RAY_UP)

    assert [f"{error.json_path}: {error.message}" for error in errors] == []


def test_ray_up_nodes_take_only_what_their_security_group_lets_in():
    # Ray adds ssh from everywhere to the groups that it makes itself.
    assert "security_group" not in RAY_UP["provider"]
    for node_type in RAY_UP["available_node_types"].values():
        assert node_type["node_config"]["SecurityGroupIds"] == ["sg-<id-of-your-group>"]
        assert node_type["node_config"]["MetadataOptions"] == {"HttpTokens": "required"}


def test_ray_up_can_use_spot_machines():
    kinds = RAY_UP["available_node_types"]

    spot = [name for name, kind in kinds.items() if "InstanceMarketOptions" in kind["node_config"]]
    assert spot == ["gpu-spot"]
    assert kinds["head"]["resources"] == {"CPU": 0}


def ray_start_lines() -> list[str]:
    commands = RAY_UP["head_start_ray_commands"] + RAY_UP["worker_start_ray_commands"]
    return [command for command in commands if "ray start" in command]


@pytest.mark.parametrize("command", ray_start_lines(), ids=["head", "worker"])
def test_ray_up_starts_ray_closed(command):
    scripts = pytest.importorskip("ray.scripts.scripts")
    options = command.split("ray start", 1)[1].split()

    assert "RAY_AUTH_MODE=token" in command
    assert "--disable-usage-stats" in options
    assert ("--head" not in options) or ("--dashboard-host=127.0.0.1" in options)
    scripts.start.make_context("ray start", options)


def test_ray_up_hands_the_token_over_as_a_file():
    assert RAY_UP["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert "chmod 600 ~/.ray/auth_token" in RAY_UP["setup_commands"]
