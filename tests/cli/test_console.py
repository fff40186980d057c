"""Tables in a pipe are whole; in a terminal they are as wide as it is."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import runpy
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from prac.cli.stored import print_rows

ROOT = Path(__file__).parents[2]

COLUMNS = [f"column number {n}" for n in range(30)]
ROWS = [[f"models:/some-long-name-{row}/{n}" for n in range(30)] for row in range(3)]
PROGRAM = f"from prac.cli.stored import print_rows; print_rows('title', {COLUMNS}, {ROWS})"


def _whole_rows(text: str, rows: list[list[str]]) -> bool:
    lines = text.splitlines()
    return all(any(all(cell in line for cell in row) for line in lines) for row in rows)


@pytest.mark.parametrize("environ", [{}, {"COLUMNS": "60"}, {"FORCE_COLOR": "1"}])
def test_a_pipe_gets_every_column_of_a_wide_table(environ: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert _whole_rows(done.stdout, [COLUMNS, *ROWS])
    # As wide as the table, not as whatever a terminal could be.
    assert max(map(len, done.stdout.splitlines())) < 3 * sum(map(len, ROWS[0]))


def _in_a_terminal(program: str, columns: int) -> list[str]:
    """The lines that a program prints on a terminal so wide."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environ = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
    environ |= {"TERM": "xterm", "NO_COLOR": "1"}
    command = [sys.executable, "-c", program]
    process = subprocess.Popen(command, env=environ, stdin=theirs, stdout=theirs)
    os.close(theirs)
    printed = _read(ours)
    assert process.wait(timeout=60) == 0
    return [re.sub(r"\x1b\[[0-9;]*m", "", line).rstrip() for line in printed.splitlines()]


def _read(terminal: int) -> str:
    printed = b""
    with contextlib.suppress(OSError):  # Linux' way to say that nobody has the other end
        while piece := os.read(terminal, 65536):
            printed += piece
    os.close(terminal)
    return printed.decode()


def test_a_terminal_gets_its_own_width() -> None:
    program = "from prac.app.console import make_console; print('width', make_console().width)"
    assert _in_a_terminal(program, 57) == ["width 57"]


def test_a_table_wider_than_its_terminal_is_blocks_of_whole_names() -> None:
    columns = ["ticket", "aliases", *(f"column {n}" for n in range(9))]
    names = [f"prac-a-data-set-of-some-length-resnet20s/{n}" for n in (1, 12)]
    rows = [[name, "best smallest", *(f"{n}.5%" for n in range(9))] for name in names]
    program = f"from prac.cli.stored import print_rows; print_rows('title', {columns}, {rows})"
    lines = _in_a_terminal(program, 80)
    assert lines[0] == "title"
    assert [line for line in lines if "prac-" in line] == names  # alone, to be copied
    assert max(map(len, lines)) <= 80
    for n in range(9):
        assert sum(f"column {n} {n}.5%" in line for line in lines) == 2
    assert len(_in_a_terminal(program, 300)) == 5  # title, heading, rule, two rows


def test_long_values_are_broken_between_words_under_their_column() -> None:
    values = [f"class_{n}" for n in range(40)]
    program = f"from prac.cli.stored import print_lines; print_lines([('names', {values})])"
    lines = _in_a_terminal(program, 80)
    assert max(map(len, lines)) <= 80
    assert all(line.startswith(" " * 7) for line in lines[1:])
    assert " ".join(line[7:] for line in lines) == str(values)


def test_brackets_in_names_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows("of [folder]", ["[name]"], [["folder:/a[b]/[/c]"]])
    said = capsys.readouterr().out
    assert "of [folder]" in said
    assert "[name]" in said
    assert "folder:/a[b]/[/c]" in said


def test_the_benchmarks_tables_are_whole_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    measuring = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "measuring.py"))
    rows = [dict(zip(COLUMNS, cells, strict=True)) for cells in ROWS]
    measuring["show"]("wide: a table", rows, tmp_path / "wide.json")
    assert _whole_rows(capsys.readouterr().out, [COLUMNS, *ROWS])


PLAN = ("pipelines/full.py", "--plan", "--executor", "local", "--rounds", "1")


@pytest.mark.parametrize("asked", [(), ("--json",)], ids=["not asked", "asked"])
def test_a_terminal_gets_a_line_of_json_only_where_it_asks(
    asked: tuple[str, ...], tmp_path: Path
) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, *PLAN, "--home", str(tmp_path), *asked]
    process = subprocess.Popen(
        command, stdout=theirs, cwd=ROOT, env={**os.environ, "COLUMNS": "80"}
    )
    os.close(theirs)
    last = _read(ours).splitlines()[-1]
    assert process.wait(timeout=60) == 0
    assert last.startswith("{") == bool(asked)
    if asked:
        assert json.loads(last)["stages_to_run"] > 10


def test_a_pipe_gets_a_line_of_json(tmp_path: Path) -> None:
    command = [sys.executable, *PLAN, "--home", str(tmp_path)]
    printed = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert printed.returncode == 0
    assert json.loads(printed.stdout.splitlines()[-1])["stages_to_run"] > 10
