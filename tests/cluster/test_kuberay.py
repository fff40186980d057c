"""KubeRay's manifests: valid by schema, and closed where they must be closed."""

import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from support.shared import KUBERAY

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster"

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


def test_cluster_and_image_have_the_same_ray():
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
