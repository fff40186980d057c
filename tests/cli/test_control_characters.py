"""Names come from strangers' files: whatever they hold, a terminal, a log and a page show them."""

from __future__ import annotations

import csv
import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from unicodedata import category
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.results import full_results, make_row

from prac.analysis.results import Results
from prac.app.console import make_console, say
from prac.app.progress import Lines
from prac.app.screen import PlainScreen, RichScreen
from prac.cli import main
from prac.cli.stored import print_lines, print_rows
from prac.errors import printable
from prac.report.csv_files import write_csv, write_rows
from prac.report.html import write_report

HOSTILE = "a\x1b[31m\x1b]0;title\x07\r\x85\x9b2J\u202etxt\u2028\udc80z"
"""Colours, a title, a bell, a line begun anew, eight bits, text turned round, half a name."""
SHOWN = r"a\u001b[31m\u001b]0;title\u0007\u000d\u0085\u009b2J\u202etxt\u2028\udc80z"


def _control(text: str) -> list[str]:
    """What of a text is not seen, by Python's own word."""
    return [c for c in text if not (c.isprintable() or c in "\n\t" or category(c) == "Zs")]


@given(st.text(st.characters(exclude_categories=())))
def test_what_is_printable(text: str) -> None:
    shown = printable(text)
    assert not _control(shown)
    assert printable(shown) == shown
    if all(c.isprintable() or c in "\n\t\xa0\u2009" for c in text):
        assert shown == text
    # JSON has the same escapes.
    assert json.loads(printable(json.dumps(text))) == text


def _results() -> Results:
    results = full_results()
    names = {row.architecture for row in results.rows}
    hostile = {name: HOSTILE + name for name in names}

    def renamed(value: object) -> object:
        if isinstance(value, str):
            return hostile.get(value, value)
        if isinstance(value, tuple):
            return tuple(renamed(each) for each in value)
        if isinstance(value, dict):
            return {renamed(key): renamed(each) for key, each in value.items()}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
            return dataclasses.replace(value, **{n: renamed(v) for n, v in fields.items()})
        return value

    changed = dataclasses.replace(results, title=HOSTILE, data=HOSTILE, recipe=HOSTILE)
    return renamed(changed)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "tell",
    [
        lambda: say(HOSTILE),
        lambda: say(HOSTILE, error=True),
        lambda: Lines([], 0).say(HOSTILE),
        lambda: PlainScreen().line(HOSTILE),
        lambda: PlainScreen().results(_results()),
        lambda: RichScreen(make_console()).line(HOSTILE),
        lambda: RichScreen(make_console()).results(_results()),
        lambda: print_lines([("name", HOSTILE)]),
        lambda: print_rows(HOSTILE, ["name"], [[HOSTILE]]),
    ],
)
@pytest.mark.parametrize("colours", [False, True])
def test_nothing_that_is_printed_moves_a_terminal(
    tell: Callable[[], None],
    colours: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if colours:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "300")
    tell()
    said = "".join(capsys.readouterr())
    # Colours of our own, which no name has: the one in HOSTILE stands written out.
    own = re.sub(r"\x1b\[[0-9;]*m", "", said)
    assert not _control(own)
    assert "\x1b[31m" not in said
    # rich drops a bell and a return itself.
    assert SHOWN in own or SHOWN.replace(r"\u0007", "").replace(r"\u000d", "") in own


def test_an_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tickets", "show", f"folder-{HOSTILE}".replace("\udc80", "")]) != 0
    assert main(["run", "--recipe", HOSTILE]) == 2
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--rounds", HOSTILE])
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert not _control("".join(lines))
    assert all("[31m" in line for line in lines)


def test_a_page_has_no_control_characters(tmp_path: Path) -> None:
    page = write_report(_results(), tmp_path).read_text(encoding="utf-8")
    assert "title" in page
    assert not _control(page)
    pictures = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert pictures
    for picture in pictures:
        ElementTree.fromstring(picture)  # our own


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "  =1", "=cmd|' /C calc'!A0"]


def test_no_cell_of_a_csv_file_is_a_formula(tmp_path: Path) -> None:
    rows = [[text, -1, -0.5, (text, 2), (-1, -2), None, "a=b", "1-2"] for text in FORMULAS]
    path = write_rows(tmp_path / "x.csv", ["=name", "b", "c", "d", "e", "f", "g", "h"], rows)
    with path.open(newline="", encoding="utf-8") as file:
        header, *found = csv.reader(file)
    assert header[:2] == ["'=name", "b"]
    for text, cells in zip(FORMULAS, found, strict=True):
        quoted = f"'{text}"
        assert cells == [quoted, "-1", "-0.5", f"{quoted} 2", "-1 -2", "", "a=b", "1-2"]


def test_a_networks_name_is_no_formula_in_the_reports_tables(tmp_path: Path) -> None:
    results = dataclasses.replace(full_results(), rows=(make_row("=HYPERLINK(1)", "prac", 1),))
    for path in write_csv(results, tmp_path):
        with path.open(newline="", encoding="utf-8") as file:
            cells = [cell for line in csv.reader(file) for cell in line]
        assert not any(cell.startswith("=") for cell in cells)
