"""The report as one HTML page that needs nothing else, with its figures and tables beside it."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from prac.report.compare import summaries
from prac.report.csv_files import write_csv
from prac.report.figures import Drawing, drawings, to_png, to_svg
from prac.report.figures.gallery import NUM_SHOWN, hardest_by_architecture, hardness
from prac.report.glossary import GLOSSARY
from prac.report.tables import bill_table, key_rows, result_row, result_table
from prac.report.verdict import noise_sentence, verdicts
from prac.report.wording import gap, method_label, percent, spread
from prac.results import Results

_TEXT_COLUMNS = ("architecture", "method")


@dataclass(frozen=True, kw_only=True)
class _Picture:
    drawing: Drawing
    svg: Markup


@dataclass(frozen=True, kw_only=True)
class _Tile:
    label: str
    hardness: str
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
    page = render(results, pictures, [path.name for path in tables])
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8", newline="\n")
    return path


def render(
    results: Results,
    pictures: dict[str, _Picture],
    tables: list[str],
) -> str:
    """The page as text. Every value from outside is escaped by the template engine."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["together"] = _together
    source = files("prac.report").joinpath("report.html.j2").read_text(encoding="utf-8")
    groups = _groups(results)
    important = key_rows(results)
    return environment.from_string(source).render(
        results=results,
        verdicts=verdicts(results),
        noise=noise_sentence(results),
        summaries=_summary_table(results),
        key_table=[(row.test_accuracy is not None, result_row(results, row)) for row in important],
        key_columns=(
            "architecture",
            "method",
            "sparsity",
            "set size",
            "steps to find",
            "saved",
            "validation",
            "test",
        ),
        full_table=result_table(results),
        bills=bill_table(results),
        text_columns=_TEXT_COLUMNS,
        pictures=pictures,
        gallery=groups,
        num_hidden=max(0, len(results.hardest) - sum(map(len, groups.values()))),
        num_shown=NUM_SHOWN,
        glossary=GLOSSARY,
        tables=tables,
        link=_safe_link(results.mlflow_link),
    )


def _write_figures(results: Results, folder: Path) -> dict[str, _Picture]:
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {}
    for drawing in drawings(results):
        (folder / f"{drawing.name}.png").write_bytes(to_png(drawing.draw(results)))
        # A fresh figure: drawing one twice may move its layout by a fraction of a pixel.
        svg = "" if drawing.name == "gallery" else to_svg(drawing.draw(results), drawing.name)
        pictures[drawing.name] = _Picture(drawing=drawing, svg=Markup(svg))
    return pictures


def _summary_table(results: Results) -> list[dict[str, str]]:
    table = []
    for summary in summaries(results):
        row = {"architecture": summary.architecture, "method": method_label(summary.method)}
        if summary.best is None:
            known = summary.architecture in results.dense_test_accuracy
            none = "none came that close" if known else "no dense model to compare with"
            row["sparsest"] = none if summary.num_judged else "nothing judged"
            table.append(row | {"test": "", "gap": "", "saved": ""})
            continue
        best = summary.best
        row["sparsest"] = percent(best.row.sparsity)
        row["test"] = spread(best.test_accuracy, best.test_std)
        row["gap"] = gap(best.to_dense or 0.0, "dense")
        row["saved"] = "" if summary.method == "vanilla" else percent(best.steps_saved, 0)
        table.append(row)
    return table


def _groups(results: Results) -> dict[str, list[_Tile]]:
    return {
        architecture: [
            _Tile(
                label=sample.label,
                hardness=hardness(sample),
                sample_id=sample.sample_id,
                source="data:image/png;base64," + base64.b64encode(sample.png).decode("ascii"),
            )
            for sample in samples
        ]
        for architecture, samples in hardest_by_architecture(results.hardest).items()
    }


def _safe_link(link: str | None) -> str | None:
    # Escaping does not stop a `javascript:` address; only these two schemes become links.
    return link if link and link.startswith(("http://", "https://")) else None


def _together(text: str) -> str:
    """Keep a number and its percent sign on one line."""
    return text.replace(" %", "\u00a0%")
