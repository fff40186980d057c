"""Commands that print: help, recipes, plans; and what none of them imports."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import signal
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from prac.analysis.timed import Speed, Timed
from prac.app.options import Options
from prac.cli import build_parser
from prac.cli.guard import guarded
from prac.config.measured import MEASURED
from prac.config.recipes import RECIPES
from prac.errors import ConfigError, PracError
from prac.tracking.connection import Connection

REPOSITORY = Path(__file__).parents[2]


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from prac.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "try: main(['run', '--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "main(['recipes'])\n"
        "heavy = {'torch', 'ray', 'mlflow', 'numpy', 'pyarrow', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--transfer-from" in done.stdout
    assert all(name in done.stdout for name in RECIPES)


@pytest.mark.parametrize("store", ["made", "not made"])
def test_a_plan_needs_no_torch_and_no_ray(
    store: str, empty_database_file: Path, tmp_path: Path
) -> None:
    program = (
        "import sys\n"
        "from prac.cli import pipeline\n"
        "assert pipeline('', ['--plan', '--home', sys.argv[1]]) == 0\n"
        "heavy = {'torch', 'ray', 'matplotlib', 'sklearn', 'torchvision'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "assert ('mlflow' in sys.modules) == (sys.argv[2] == 'made')\n"
    )
    if store == "made":
        shutil.copy(empty_database_file, tmp_path / "mlflow.db")
        Connection(f"sqlite:///{tmp_path / 'mlflow.db'}").prepare()
    before = sorted(tmp_path.iterdir())
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), store],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "stages to run" in done.stdout
    assert sorted(tmp_path.iterdir()) == before


def test_a_pipeline_from_a_shell() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prac", "run", "--recipe", "nope"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: recipe 'nope' is not known")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_recipes_are_shown_as_set_takes_them(command) -> None:
    for name in RECIPES:
        status, out, _ = command("recipes", name)
        assert status == 0
        settings = [line for line in out.splitlines() if re.match(r"[a-z]+\.[a-z_]+=", line)]
        assert len(settings) > 30
        words = [w for line in settings for w in ("--set", line)]
        if name == "digits":
            assert command("plan", "--recipe", name, *words)[0] == 0
            # None of them changed anything: the same stages, keys and all.
            assert command("plan", "--recipe", name)[1] == command("plan", *words)[1]


def test_recipes_cost_what_their_vanilla_searches_cost(command, monkeypatch) -> None:
    status, out, _ = command("recipes")
    assert status == 0
    (row,) = (line for line in out.splitlines() if line.startswith("cifar10_vgg16 "))
    # 16 rounds of 64,064 steps; VGG-16: 0.31 billion multiply-adds an image.
    assert row.split()[1:3] == ["1,025,024", "2.5e+17"]
    assert "hours" not in out
    speed = Speed(training=0.001, predicting=1, start=1, memory=1)
    asked: list[Timed] = []

    def speeds(every, *, threads, device, told):
        asked.extend(every)
        return dict.fromkeys(asked, speed)

    monkeypatch.setattr("prac.analysis.speeds.speeds_here", speeds)
    _, out, _ = command("recipes", "digits", "--calibrate", "--json")
    (digits,) = json.loads(out)["recipes"]
    # Three networks, 8 rounds of 16 epochs on 1,294 images, a millisecond each.
    assert digits["hours"] == pytest.approx(3 * 8 * 16 * 1294 / 1000 / 3600)
    assert digits["steps"] == 3 * 2688
    # What a plan of the recipe times: one speed, kept, is for both.
    planned: list[Timed] = []
    monkeypatch.setattr(
        "prac.app.estimate.speeds_here",
        lambda every, **_: planned.extend(every) or dict.fromkeys(planned, speed),
    )
    assert command("plan", "--recipe", "digits", "--executor", "local")[0] == 0
    assert set(asked) == set(planned)
    _, out, _ = command("recipes", "--calibrate")
    assert len(out.splitlines()) == 1 + len(RECIPES) + 1
    assert out.splitlines()[0].split()[:4] == ["recipe", "steps", "FLOPs", "hours"]


def test_recipes_say_what_stands_behind_them(command) -> None:
    _, out, _ = command("recipes", "--json")
    measured = {recipe["name"]: recipe["measured"] for recipe in json.loads(out)["recipes"]}
    known = {name: one for name, one in measured.items() if one is not None}
    assert set(MEASURED) == set(known)
    for name, one in known.items():
        date.fromisoformat(one["date"])
        # What it names is in the repository, and a command of it runs this recipe.
        assert (REPOSITORY / one["page"]).is_file()
        program = one["command"].split()[1]
        assert (REPOSITORY / program).is_file()
        named = one["command"] + (REPOSITORY / program).read_text()
        # Digits are what a pipeline takes that names no recipe.
        assert name in named or name == "digits" or one["variant"]
        _, out, _ = command("recipes", name)
        assert one["found"] in out
        assert one["command"] in out
    _, out, _ = command("recipes", "cifar10_resnet20s", "--json")
    (published,) = json.loads(out)["recipes"]
    assert published["published"] == {"saved": 83.93, "last_set": 36.66}
    _, out, _ = command("recipes", "cifar10_resnet20s")
    assert "83.93 % of vanilla's iterations saved" in out
    _, out, _ = command("recipes", "cifar100_fast")
    assert "measured here: nothing" in out


def test_a_plan_starts_nothing(command, home) -> None:
    status, out, err = command("plan", "--architectures", "conv4", "--rounds", "2")
    assert (status, err) == (0, "")
    assert "dense:conv4:prac" in out
    assert "to run" in out
    assert not (home / "prac-runs").exists()


def test_how_a_command_ends(capsys) -> None:
    def fail(error: BaseException):
        def action():
            raise error

        return action

    before = signal.getsignal(signal.SIGTERM)
    assert guarded(lambda: {"a": 1}) == 0
    assert json.loads(capsys.readouterr().out) == {"a": 1}
    assert guarded(dict) == 0
    assert capsys.readouterr() == ("", "")
    assert guarded(fail(PracError("two\n lines"))) == 1
    assert capsys.readouterr() == ("", "error: two lines\n")
    assert guarded(fail(ConfigError("no"))) == 2
    assert guarded(fail(KeyboardInterrupt())) == 130
    assert len(capsys.readouterr().err.splitlines()) == 2
    assert guarded(lambda: signal.raise_signal(signal.SIGTERM)) == 130
    assert signal.getsignal(signal.SIGTERM) is before
    capsys.readouterr()
    assert guarded(fail(ZeroDivisionError("no"))) == 1  # the whole of a bug is kept in a file
    said, _, kept = capsys.readouterr().err.partition(" (the whole text: ")
    assert said == "error: ZeroDivisionError: no"
    whole = Path(kept.rstrip(")\n"))
    assert "Traceback" in whole.read_text()
    whole.unlink()


def test_a_plan_has_a_judgement_for_each_seed(command) -> None:
    words = "plan --recipe digits --architectures conv4 --rounds 1 --compare --seed 4 --seeds 3"
    status, out, err = command(*words.split())
    assert (status, err) == (0, "")
    judged = [word for word in out.split() if word.startswith("judge:conv4:prac:1")]
    assert judged[:3] == [
        "judge:conv4:prac:1",
        "judge:conv4:prac:1:seed-5",
        "judge:conv4:prac:1:seed-6",
    ]


@pytest.mark.parametrize("name", ["run", "plan", "sweep", "thresholds", "stops"])
def test_every_field_of_a_run_has_an_option(name: str) -> None:
    """One without would have its default, whatever was typed."""
    words = [name] if name != "sweep" else [name, "--vary", "select.threshold=0,1"]
    typed = vars(build_parser().parse_args(words))
    fields = {field.name for field in dataclasses.fields(Options)} - {"only"}
    assert fields <= typed.keys()
