"""What the README and the page of the pipelines show works: their Python and their commands run.

A command that is marked with why it is not run is still made of words that its program takes.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.markdown import blocks, commands

from prac.cli import build_parser
from prac.cli.options import recipe_from
from prac.config.sections import TrainConfig

REPOSITORY = Path(__file__).parents[1]
README = REPOSITORY / "README.md"
PAGES = (README, REPOSITORY / "pipelines" / "README.md")
BIN = Path(sys.executable).parent
COMMANDS = [
    pytest.param(command, id=f"{page.parent.name} {block.line}: {command[:40]}")
    for page in PAGES
    for block in blocks(page, "bash")
    for command in commands(block)
]
NAMED = sorted(
    {
        " ".join(words.split())
        for page in PAGES
        for words in re.findall(r"`(prac [^`]*)`", page.read_text())
    }
)
# The console script's command for each program that has the same options.
PROGRAMS = {"pipelines/full.py": "run", "pipelines/sweep.py": "sweep"}


def test_a_page_is_read_block_by_block(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\na = 1\n```\n<!-- not run: needs a GPU -->\n```python\nb = 2\n```\n"
        "```bash\none --a \\\n    b  # why\ntwo && three\n```\n"
    )
    found = [(block.text, block.line, block.why_not) for block in blocks(page, "python")]
    assert found == [("a = 1\n", 2, None), ("b = 2\n", 6, "needs a GPU")]
    (shell,) = blocks(page, "bash")
    assert [command.split() for command in commands(shell)] == [
        ["one", "--a", "b"],
        ["two"],
        ["three"],
    ]


def test_the_python_blocks_run_in_order(ticket_home: Path, tmp_path: Path) -> None:
    """In a folder with a store of tickets, as one program."""
    shutil.copy(ticket_home / "mlflow.db", tmp_path)
    program = "\n".join(block.text for block in blocks(README, "python") if block.why_not is None)
    assert program
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_shell_blocks_run_in_order(ticket_home: Path, tmp_path: Path) -> None:
    """In a folder with a store of tickets, in one shell that ends at the first failure."""
    shutil.copy(ticket_home / "mlflow.db", tmp_path)
    (tmp_path / "pipelines").symlink_to(REPOSITORY / "pipelines")
    program = "".join(
        block.text for page in PAGES for block in blocks(page, "bash") if block.why_not is None
    )
    assert program
    done = subprocess.run(
        ["bash", "-e", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.parent.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        name, _, anchor = target.partition("#")
        if "://" in name:
            continue
        there = page.parent / name if name else page
        titles = re.findall(r"^#+ (.+)$", there.read_text(), re.MULTILINE) if anchor else []
        anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
        if not there.exists() or (anchor and anchor not in anchors):
            lost.append(target)
    assert lost == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_batch_has_a_share_for_each_worker(command: str) -> None:
    workers = re.search(r"--workers (\d+)", command)
    shares = re.search(r"train\.shares=(\d+)", command)
    if workers is not None:
        assert int(workers[1]) <= int(shares[1] if shares else TrainConfig().shares)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one(command: str) -> None:
    program, *words = shlex.split(command)
    program = program.removeprefix(".venv/bin/")
    if program in ("python", "python3") and words[0] in PROGRAMS:
        assert (REPOSITORY / words[0]).is_file()
        program, words = "prac", [PROGRAMS[words[0]], *words[1:]]
    if program == "prac":
        arguments = build_parser().parse_args(words)
        if words[0] in PROGRAMS.values():
            recipe_from(arguments)  # refuses a recipe or a field that is not there
        return
    assert (BIN / program).is_file()
    if "--" in words:  # what comes after is a command of its own
        words, inner = words[: words.index("--")], words[words.index("--") + 1 :]
        test_a_command_is_one(shlex.join(inner))
    options = [word for word in words if word.startswith("--")]
    if options:
        leading = [word for word in words[: words.index(options[0])] if not word.startswith("-")]
        asked = [BIN / program, *leading, "--help"]
        said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        assert [option for option in options if option not in said] == []


@pytest.mark.parametrize("words", NAMED)
def test_a_command_that_the_text_names_is_one(words: str) -> None:
    known = [word for word in words.split()[1:] if re.fullmatch("[a-z]+", word)]
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args([*known, "--help"])
    assert ended.value.code == 0
