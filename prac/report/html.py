"""The report as one HTML page that needs nothing else, with its figures and tables beside it."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from prac.analysis.results import HardSample, Results
from prac.analysis.statistics import MATCHING_SEEDS
from prac.config.methods import METHODS, method_label
from prac.errors import printable
from prac.report.as_found import as_found_sentences
from prac.report.csv_files import write_csv
from prac.report.figures import Drawing, drawings, to_png, to_svg
from prac.report.figures.gallery import (
    Groups,
    doubt,
    hard_groups,
    hardness,
    membership,
    never_groups,
    set_groups,
)
from prac.report.glossary import GLOSSARY, MATCHES
from prac.report.grids import (
    accuracy_grids,
    equal_steps_grids,
    layer_grids,
    memorised_grids,
    round_grids,
    set_grids,
    summary_grids,
    threshold_grids,
)
from prac.report.made_by import makers, mixture_sentence
from prac.report.odd_sets import odd_sets
from prac.report.over_searches import searches_sentences, searches_table
from prac.report.savings import why_fewer
from prac.report.tables import bill_table, energy_sources, judging_table
from prac.report.verdict import advices, noise_sentence, verdicts
from prac.report.wording import effort_sentence, ordered_methods, short_count

_TALL = 0.65
"""In widths of the page: a row of panels is less, two rows are more."""
_TEXT_COLUMNS = ("architecture", "method", "choosing the samples")


_ASKS = {
    "table": "How accurate is every ticket, and every round on its way?",
    "steps": "What did each ticket cost, and what do the methods reach for the same steps?",
    "sets": "Which samples and classes does each round train on?",
    "masks": "Do the methods keep the same weights, and when does a mask settle?",
    "samples": "Which pictures are hard, and which labels look wrong?",
    "bill": "What did it all cost: steps, samples, FLOPs, time, energy?",
    "stages": "What was computed from what?",
    "settings": "With which configuration and versions?",
    "words": "What does a word mean?",
}
"""By section, the question that it answers: sections are folded, so that the answer is short."""


@dataclass(frozen=True, kw_only=True)
class _Picture:
    """tall: it takes more of a screen than half of it."""

    drawing: Drawing
    svg: Markup
    tall: bool


@dataclass(frozen=True, kw_only=True)
class _Tile:
    label: str
    under: str
    sample_id: int
    source: str


def write_report(results: Results, folder: str | Path) -> Path:
    """Write `report.html`, `figures/*.png` and `tables/*.csv` into a folder; the page's path.

    The folder is made if it is missing. The same results give the same bytes.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tables = write_csv(results, folder / "tables")
    pictures = _write_figures(results, folder / "figures")
    page = printable(render(results, pictures, [path.name for path in tables]))
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8", newline="\n")
    return path


def render(results: Results, pictures: dict[str, _Picture], tables: list[str]) -> str:
    """The page as text. Every value from outside is escaped by the template engine."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["together"] = _together
    environment.filters["quoted"] = shlex.quote
    source = files("prac.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    found = verdicts(results)
    known_flops = [(name, short_count(n)) for name, n in results.forward_flops.items()]
    return environment.from_string(source).render(
        results=results,
        verdicts=found,
        noise=noise_sentence(results),
        why_fewer=why_fewer(results),
        advices=advices(results, found),
        timed=any(row.search_seconds for row in results.rows) or bool(results.bills),
        tickets=[
            (verdict.take is not None, row)
            for verdict in found
            if (row := verdict.take or verdict.shown) and row.ticket
        ],
        summaries=summary_grids(results),
        accuracies=accuracy_grids(results),
        equal_steps=equal_steps_grids(results),
        sets=set_grids(results),
        thresholds=threshold_grids(results),
        rounds=round_grids(results),
        as_found=as_found_sentences(results),
        odd_sets=odd_sets(results),
        effort=effort_sentence(results),
        asks=_ASKS,
        searches=searches_table(results),
        searches_told=searches_sentences(results),
        bills=bill_table(results),
        judging=judging_table(results),
        energy=energy_sources(results),
        flops=known_flops,
        text_columns=_TEXT_COLUMNS,
        pictures=pictures,
        galleries=_galleries(results),
        unlearned=_unlearned(results),
        memorised=memorised_grids(results),
        layers=layer_grids(results),
        methods=_methods(results),
        makers=makers(results),
        mixture=mixture_sentence(results),
        glossary=[*GLOSSARY, MATCHES] if results.num_seeds >= MATCHING_SEEDS else GLOSSARY,
        tables=tables,
        labels={row.method: method_label(row.method) for row in results.rows},
        named=any((row.ticket or "").startswith("models:") for row in results.rows),
        # What methods are stands below their first table.
        meanings={
            name: meaning
            for words, meaning in GLOSSARY
            for name in words.split(", ")
            if name not in ("vanilla", "random subset")
        },
        link=_safe_link(results.mlflow_link),
    )


def _write_figures(results: Results, folder: Path) -> dict[str, _Picture]:
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {}
    for drawing in drawings(results):
        figure, svg = drawing.draw(results), ""
        if not drawing.pictures:
            svg = to_svg(figure, drawing.name)
            # Its layout stays as it was found: that takes longer than the drawing.
            figure.set_layout_engine("none")
        (folder / f"{drawing.name}.png").write_bytes(to_png(figure))
        tall = figure.get_figheight() > _TALL * figure.get_figwidth()
        pictures[drawing.name] = _Picture(drawing=drawing, svg=Markup(svg), tall=tall)
    return pictures


def _galleries(results: Results) -> dict[str, dict[str, list[_Tile]]]:
    """The tiles of each gallery by its drawing's name, in groups."""
    kinds: dict[str, tuple[Groups, Callable[[HardSample], str]]] = {
        "never-learned": (never_groups(results), doubt),
        "gallery": (hard_groups(results), hardness),
        "samples": (set_groups(results), membership),
    }
    return {
        name: {group: [_tile(s, under(s)) for s in samples] for group, samples in groups.items()}
        for name, (groups, under) in kinds.items()
    }


def _tile(sample: HardSample, under: str) -> _Tile:
    return _Tile(
        label=sample.label,
        under=under,
        sample_id=sample.sample_id,
        source="data:image/png;base64," + base64.b64encode(sample.png).decode("ascii"),
    )


def _methods(results: Results) -> list[tuple[str, str]]:
    """What each method of the results is, in a line; a user's own say so themselves."""
    names = ordered_methods(row.method for row in results.rows)
    return [(method_label(n), METHODS[n].summary) for n in names if n in METHODS]


def _unlearned(results: Results) -> list[tuple[str, int]]:
    """How many samples each architecture never learned; those that recorded events alone."""
    return [
        (name, sum(sample.architecture == name for sample in results.never_learned))
        for name in results.recorded
    ]


def _safe_link(link: str | None) -> str | None:
    # Escaping does not stop a `javascript:` address; only these two schemes become links.
    return link if link and link.startswith(("http://", "https://")) else None


def _together(text: str) -> str:
    """Keep a number with its percent sign or its deviation on one line."""
    return text.replace(" %", "\u00a0%").replace(" ± ", "\u00a0±\u00a0")
