"""The page needs nothing from outside, lets nothing through unescaped and is always the same."""

from __future__ import annotations

import base64
import csv
import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from prac.analysis.results import (
    HardSample,
    LayerShare,
    Memorised,
    Results,
    RoundRow,
    results_from_json,
    results_to_json,
)
from prac.config.methods import find_method
from prac.errors import ConfigError
from prac.pruning.criteria import CRITERIA
from prac.report.csv_files import write_csv
from prac.report.figures import drawings
from prac.report.glossary import GLOSSARY
from prac.report.grids import layer_grids, memorised_grids
from prac.report.html import render, write_report
from prac.report.made_by import makers, mixture_sentence

HOSTILE = "<script>alert('x')</script>\"&"
_VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Tags, addresses and ids of a page; fails on tags that don't close."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in _VOID:
            self._open.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "action", "data"):
                self.addresses.append(value or "")
            if name == "id":
                self.ids.append(value or "")
            assert not name.startswith("on")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def folder(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the report of the full results."""
    path = tmp_path_factory.mktemp("report")
    assert write_report(results, path) == path / "report.html"
    return path


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    """The parsed page of the full results."""
    return Page((folder / "report.html").read_text(encoding="utf-8"))


def test_needs_nothing_from_outside(folder: Path, page: Page, results: Results) -> None:
    outside = [a for a in page.addresses if a.startswith(("http:", "https:", "//"))]
    assert outside == [results.mlflow_link]
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "@import" not in text
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", text))


def test_every_address_within_is_there(folder: Path, page: Page) -> None:
    for address in page.addresses:
        if address.startswith("#"):
            assert address[1:] in page.ids
        elif not address.startswith(("http:", "data:image/png;base64,")):
            assert (folder / address).is_file()


def test_ids_are_unique(page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))


def test_sections_and_numbers_are_there(page: Page) -> None:
    text = " ".join(" ".join(page.words).split()).replace("\u00a0", " ")
    for part in (
        "Take vanilla at 83.2 % sparsity",
        "No ticket is recommended yet",
        "vgg16: 26 rows",
        "Forgotten most often",
        "counted, not timed",
        "Judging, which is evaluation",
        "this machine has no RAPL counters",
        "The bill",
        "never learned",
        "PrAC set",
        "learning rate",
        "2.9.0",
    ):
        assert part in text
    assert page.tags.count("svg") == 7
    # One seed: nothing may be said to match.
    assert "match" not in text.lower()


def test_what_criteria_cost_is_told_as_they_state_it(page: Page) -> None:
    text = " ".join(" ".join(page.words).split())
    told = re.findall(r"as much as (\d+)", text)
    assert told == [str(CRITERIA[name].passes) for name in ("snip", "grasp", "synflow")]


@pytest.mark.parametrize(
    ("ticket", "shell"),
    [
        ("models:/prac-digits-a/8", "models:/prac-digits-a/8"),
        ("/home/me/my runs/stages/1f/ticket", "'/home/me/my runs/stages/1f/ticket'"),
    ],
)
def test_the_first_ticket_is_taken_by_a_command(results: Results, ticket: str, shell: str) -> None:
    rows = tuple(dataclasses.replace(row, ticket=ticket) for row in results.rows)
    page = Page(render(dataclasses.replace(results, rows=rows), {}, []))
    words = " ".join(" ".join(page.words).split())
    assert f'prac.Ticket.load("{ticket}")' in words
    assert f"prac tickets pull {shell} --out my-ticket" in words
    # One command for all of them: only the name is another.
    assert words.count("prac tickets pull") == words.count("prac.Ticket.load") == 1
    assert "To take the vanilla ticket of resnet8 (45,298 weights left):" in words
    other = "Or the PrAC ticket of vgg16 anyway (45,298 weights left):"
    assert f"{other} {shell}" in words
    # Only names are asked of a store. A link to the run is no address of one: that of a store in a
    # folder leads to a server that may not run.
    assert ("MLFLOW_TRACKING_URI" in words) == ticket.startswith("models:")
    assert "localhost" not in words


def test_the_answer_has_one_command_and_its_words_beside_it(results: Results) -> None:
    """What would decide is said once under the cards, and what the cards speak of, unfolded."""
    text = render(results, {}, [])
    cards = text[text.index('class="verdicts"') : text.index("What one asks next")]
    assert cards.count("--searches 5") == 1
    assert "--seeds 3" not in text
    assert all(f"<i>{word}</i>" in cards for word in ("ticket", "vanilla", "dense", "judged"))
    assert "a rule of thumb, one seed" in cards
    for word in ("CET", "CEP", "steps to find"):
        assert f'<abbr title="{dict(GLOSSARY)[word]}">{word}</abbr>' in text


def test_every_table_that_may_be_cut_says_so(results: Results) -> None:
    text = render(results, {}, [])
    assert text.count('<div class="scroll">') == text.count(
        '<div class="scroll"><span class="hint">'
    )
    assert "scroll-state(scrollable: inline) { .hint { display: block" in text


def test_whose_seconds_they_are_is_said_once(results: Results) -> None:
    rows = tuple(dataclasses.replace(r, search_seconds=9.0) for r in results.rows)
    whose = "Seconds are of this machine under its load: beside others, the same training takes"
    for timed in (results, dataclasses.replace(results, rows=rows, bills=())):
        assert render(timed, {}, []).count(whose) == 1
    assert whose not in render(dataclasses.replace(results, bills=()), {}, [])


def test_a_threshold_is_told_in_one_place(crowd: Results) -> None:
    text = render(crowd, {}, [])
    assert text.count("<h3>Other thresholds</h3>") == 1
    assert "thresholds" not in {drawing.name for drawing in drawings(crowd)}


def test_every_figure_has_its_numbers_beside_it(folder: Path, results: Results) -> None:
    for drawing in drawings(results):
        table = (folder / "tables" / drawing.table).read_text().splitlines()
        assert len(table) > 1, drawing.name


def test_a_crowd_keeps_the_answer_first(crowd: Results, tmp_path: Path) -> None:
    tables = [path.name for path in write_csv(crowd, tmp_path)]
    text = render(crowd, {}, tables)
    page = Page(text)
    words = " ".join(" ".join(page.words).split()).replace("\u00a0", " ")
    answer = words[words.index("What was found") : words.index("What one asks next")]
    assert answer.count("No ticket is recommended yet") == 3
    assert "The ticket to take" not in answer
    assert answer.count("matches vanilla up to") == 3
    assert "Tickets of one search, trained with 3 seeds" in answer
    assert answer.count("Each search was run once") == 1
    for label in ("PrAC", "vanilla", "RS2", "SynFlow", "random tickets", "PrAC, no early stop"):
        assert answer.count(f" {label} ") >= 3, label
    assert "an image" in words
    # One row a method, not one a judged ticket: 17 methods in each of 3 networks.
    accuracy = text[text.index('id="table"') : text.index("<details>")]
    assert accuracy.count("<tr>") == 3 * (1 + 17)


def test_never_learned_samples_are_shown_and_listed(
    row: Callable[..., RoundRow], build: Callable[..., Results], png: bytes, tmp_path: Path
) -> None:
    def sample(number: int, **changes: object) -> HardSample:
        values = {
            "architecture": "a",
            "sample_id": number,
            "label": "cat",
            "presentations": 9,
            "forgotten": 0,
            "never_learned": True,
            "mean_margin": -2.0,
            "png": png,
            "predicted": "dog",
        }
        return HardSample(**(values | changes))  # type: ignore[arg-type]

    results = build(
        rows=(row("a", "prac", 0), row("b", "prac", 0), row("c", "prac", 0)),
        # `c` takes the sets of another network: it recorded nothing, which is not zero.
        recorded=("a", "b"),
        never_learned=(sample(3), sample(4, predicted="cat"), sample(5, png=b"")),
        samples=(
            sample(6, inside=True, reason="forgotten, disagreed on"),
            sample(7, inside=False, never_learned=False),
        ),
    )
    page = Page(write_report(results, tmp_path).read_text(encoding="utf-8"))
    words = " ".join(" ".join(page.words).split())
    assert "Never learned in the first round: 3 of 45,000 (a), 0 of 45,000 (b)." in words
    assert "seen as dog" in words
    assert "right after training" in words
    assert "a, inside the set" in words
    assert "forgotten, disagreed on" in words
    assert "never forgotten" in words
    assert page.tags.count("img") == 4  # one is listed only
    listed = (tmp_path / "tables" / "never_learned.csv").read_text().splitlines()
    assert [line.split(",")[1] for line in listed] == ["sample_id", "3", "4", "5"]
    assert [line.split(",")[7] for line in listed] == ["predicted", "dog", "cat", "dog"]


def test_it_is_made_to_be_printed(folder: Path) -> None:
    text = (folder / "report.html").read_text(encoding="utf-8")
    rules = text[text.index("@media print") : text.index("</style>")]
    assert "@page { size: A4" in rules
    assert "break-inside: avoid" in rules


def test_pictures_and_tables_lie_beside(folder: Path) -> None:
    names = {
        "accuracy",
        "validation",
        "cost",
        "equal-steps",
        "sets",
        "distances",
        "gallery",
        "graph",
    }
    assert {path.stem for path in (folder / "figures").iterdir()} == names
    for path in (folder / "figures").iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")
    assert len(list((folder / "tables").iterdir())) == 19


def test_same_results_same_bytes(folder: Path, results: Results, tmp_path: Path) -> None:
    write_report(results, tmp_path)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert len(files) == 1 + 8 + 19
    for name in files:
        assert (folder / name).read_bytes() == (tmp_path / name).read_bytes(), name


def test_what_made_the_stages_and_where_it_differs(results: Results, tmp_path: Path) -> None:
    dense, *others = (stage for stage in results.stages[:3])
    old, new = {"torch": "1", "python": "3"}, {"torch": "2", "python": "3", "device": "cpu"}
    alike = dataclasses.replace(
        results, stages=tuple(dataclasses.replace(s, made_by=new) for s in results.stages[:3])
    )
    assert makers(alike) == [("device", "cpu"), ("python", "3"), ("torch", "2")]
    assert mixture_sentence(alike) == ""
    mixed = dataclasses.replace(
        results,
        stages=(
            dataclasses.replace(dense, made_by=old),
            *(dataclasses.replace(stage, made_by=new) for stage in others),
        ),
    )
    kinds = ", ".join(dict.fromkeys(stage.kind for stage in others))
    assert dict(makers(mixed))["torch"] == f"1 (1 stage: {dense.kind}); 2 (2 stages: {kinds})"
    assert mixture_sentence(mixed) == "Not all stages were made alike: they differ in torch."
    page = Page(write_report(mixed, tmp_path).read_text(encoding="utf-8"))
    assert page.words.count(mixture_sentence(mixed)) == 2
    assert page.words.index(mixture_sentence(mixed)) < page.words.index("What was found")
    with open(tmp_path / "tables" / "made_by.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["stage", "what", "value"]
    assert [dense.name, "torch", "1"] in rows
    # Of a stage by an earlier version nothing is known.
    unknown = dataclasses.replace(
        mixed, stages=(*mixed.stages[1:], dataclasses.replace(dense, made_by={}))
    )
    assert "not noted (1 stage" in dict(makers(unknown))["python"]
    assert "python" in mixture_sentence(unknown)


def test_hostile_names_are_text(
    results: Results,
    row: Callable[..., RoundRow],
    build: Callable[..., Results],
    png: bytes,
    tmp_path: Path,
) -> None:
    sample = HardSample(
        architecture=HOSTILE,
        sample_id=1,
        label=HOSTILE,
        presentations=2,
        forgotten=1,
        never_learned=False,
        mean_margin=0.0,
        png=png,
    )
    results = build(
        title=HOSTILE,
        data=HOSTILE,
        recipe=HOSTILE,
        rows=(row(HOSTILE, HOSTILE, 0), row(HOSTILE, HOSTILE, 1, test=0.9)),
        settings={HOSTILE: HOSTILE},
        stages=(dataclasses.replace(results.stages[0], made_by={HOSTILE: HOSTILE}),),
        hardest=(sample,),
        mlflow_link="javascript:alert(1)",
    )
    text = write_report(results, tmp_path).read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in page.tags
    assert "<script" not in text
    assert not any(a.startswith("javascript:") for a in page.addresses)
    picture = "data:image/png;base64," + base64.b64encode(png).decode()
    assert picture in page.addresses


def test_names_of_code_in_stored_results_run_nothing(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Networks, methods, scores, samplers, criteria, data sets: whatever names one."""
    name, sang = f"canary_{tmp_path.name}", tmp_path / "sang"
    (tmp_path / f"{name}.py").write_text(f"open({str(sang)!r}, 'w')\ndef net(): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def named(value: object) -> object:
        if isinstance(value, dict):
            return {key: named(each) for key, each in value.items()}
        if isinstance(value, list):
            return [named(each) for each in value]
        return f"{name}:net" if value in words else value

    stored = json.loads(results_to_json(results))
    words = {row[field] for row in stored["rows"] for field in ("architecture", "method")}
    words |= {stored["recipe"], stored["data"], *stored["settings"].values()}
    stored["settings"] |= dict.fromkeys(
        ("select.score", "select.sampler", "prune.criterion", "train.optimizer", "data.source"),
        f"{name}:net",
    )
    known = results_from_json(json.dumps(named(stored)))
    write_report(known, tmp_path / "report")
    write_csv(known, tmp_path / "tables")
    assert f"{name}:net" in (tmp_path / "report" / "report.html").read_text()
    assert not sang.exists()
    with pytest.raises(ConfigError, match="method"):  # what a command line names is run
        find_method(f"{name}:net")
    assert sang.exists()


@pytest.mark.parametrize("kind", ["no rows", "one round", "nothing judged", "no vanilla"])
def test_little_to_report(
    kind: str, row: Callable[..., RoundRow], build: Callable[..., Results], tmp_path: Path
) -> None:
    rows = {
        "no rows": (),
        "one round": (row("a", "prac", 0),),
        "nothing judged": tuple(row("a", m, k) for m in ("prac", "vanilla") for k in range(3)),
        "no vanilla": tuple(row("a", "prac", k, test=0.9) for k in range(3)),
    }[kind]
    results = build(rows=rows, tolerance=None)
    page = Page(write_report(results, tmp_path / "deep" / "folder").read_text(encoding="utf-8"))
    assert "h1" in page.tags


def test_a_run_without_link_has_none(results: Results) -> None:
    bare = dataclasses.replace(results, mlflow_link=None, stages=(), distances=(), hardest=())
    page = Page(render(bare, {}, []))
    assert not any(a.startswith("http") for a in page.addresses)


def test_what_tables_are_made_of_is_light() -> None:
    code = (
        "import sys, prac; before = set(sys.modules); "
        "import prac.report.csv_files, prac.report.tables, prac.report.verdict; "
        "sys.exit(bool({'matplotlib', 'jinja2', 'rich', 'PIL'} & (set(sys.modules) - before)))"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_layers_and_what_was_learned_when_are_told(
    row: Callable[..., RoundRow], build: Callable[..., Results]
) -> None:
    """Never learned stands apart from late; layers are folded."""
    sizes = {("conv1.weight", "prac"): 30, ("conv1.weight", "vanilla"): 60}
    results = build(
        rows=(row("a", "prac", 2, test=0.9), row("a", "vanilla", 2, test=0.9)),
        layers=tuple(
            LayerShare(
                architecture="a", method=method, round=2, layer=name, weights=120, alive=alive
            )
            for (name, method), alive in sizes.items()
        ),
        memorised=(Memorised(architecture="a", epochs=16, at_once=9, early=5, late=4, never=2),),
    )
    assert layer_grids(results)[0].rows == (("conv1.weight", "120", "75.0", "50.0"),)
    assert memorised_grids(results)[0].rows == (("a", "16", "9", "5", "4", "2"),)
    page = render(results, {}, [])
    folded = page.partition("Sparsity layer by layer")[0].rpartition("<details")[2]
    assert "<summary>" in folded
    assert "late (after half)" in page
    assert "conv1.weight" in page


def test_a_page_without_them_says_nothing_of_them(
    row: Callable[..., RoundRow], build: Callable[..., Results]
) -> None:
    page = render(build(rows=(row("a", "prac", 2, test=0.9),)), {}, [])
    assert "layer by layer" not in page
    assert "late (after half)" not in page
