"""Tables with a column for each sparsity: as many methods as there are fit one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from prac.analysis.results import Results, RoundRow, sample_std
from prac.config.methods import VANILLA, method_label
from prac.report.compare import SAME_SPARSITY, own_method, summaries
from prac.report.equal_steps import equal_steps
from prac.report.tables import key_rows, result_row
from prac.report.wording import (
    ABSENT,
    architectures,
    count,
    methods_of,
    ordered_methods,
    percent,
    search_rows,
    searches_by_sets,
    sparsity_tick,
    spread,
)

_ROUND_COLUMNS = (
    "method",
    "round",
    "sparsity",
    "validation",
    "test",
    "as found",
    "set size",
    "epochs (of budget)",
    "steps",
    "steps to find",
    "saved",
    "time to find",
    "time saved",
)
"""Of `result_row`: what isn't told elsewhere on the page, or in a CSV file alone."""
_MAX_ROUNDS, _MAX_NAMED = 60, 3


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table of text. columns: its headings; the first is of the rows' names."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def summary_grids(results: Results) -> list[Grid]:
    """For each architecture: how sparse each method's tickets go, the answer at a glance."""
    found = []
    every = summaries(results)
    comparable = any(s.num_comparable for s in every)
    for architecture in architectures(results):
        columns = [
            "method",
            "within 1 point of dense in validation up to",
            "weights left",
            "test",
            "points to dense",
            "steps (time) saved",
        ]
        if comparable:
            columns += ["matches vanilla up to", "steps (time) saved there"]
        rows = []
        for s in (s for s in every if s.architecture == architecture):
            line = [method_label(s.method)]
            if s.best is None:
                known = architecture in results.dense_test_accuracy
                none = "none came that close" if known else "no dense model to compare with"
                line += [none if s.num_judged else "nothing judged", "", "", "", ""]
            else:
                line += [
                    percent(s.best.row.sparsity),
                    count(s.best.row.weights_left),
                    spread(s.best.test_accuracy, s.best.test_std),
                    _points(s.best.to_dense or 0.0),
                    _saving(s.best.row),
                ]
            if comparable and s.matching is not None:
                row = s.matching.row
                line += [percent(row.sparsity), _saving(row)]
            elif comparable:
                line += ["none" if s.num_comparable else ABSENT, ABSENT]
            rows.append(tuple(line))
        whole = [r for r in results.rows if r.architecture == architecture and r.sparsity == 0]
        of = f", of {count(whole[0].weights_left)} weights that may be removed" if whole else ""
        title = f"{architecture}{of}{_dense(results, architecture)}"
        found.append(Grid(title=title, columns=tuple(columns), rows=tuple(rows)))
    return found


def accuracy_grids(results: Results) -> list[Grid]:
    """For each architecture: test accuracy of all judged tickets, methods by sparsities."""
    found = []
    for architecture in architectures(results):
        judged = [
            row
            for row in results.rows
            if row.architecture == architecture and row.test_accuracies and row.sparsity > 0
        ]
        rounds = {row.round: row.sparsity for row in judged}
        if not rounds:
            continue
        rows = []
        for method in methods_of(results, architecture):
            own = {row.round: row for row in judged if row.method == method}
            cells = [_accuracy(own.get(k)) for k in sorted(rounds)]
            rows.append((method_label(method), *cells))
        found.append(
            Grid(
                title=architecture + _dense(results, architecture),
                columns=("weights removed, %", *_ticks(rounds)),
                rows=tuple(rows),
            )
        )
    return found


def round_grids(results: Results) -> list[Grid]:
    """For each architecture: every round of its methods, a round 0 that several share once; of very
    many, the rounds of `key_rows`."""
    found, key = [], key_rows(results)
    for architecture in architectures(results):
        every = [row for row in results.rows if row.architecture == architecture]
        cut = len(every) > _MAX_ROUNDS
        shared: dict[object, list[RoundRow]] = {}
        for row in every:
            if not cut or row in key:
                # Tickets that borrow all rounds have accuracies of their own.
                same = row.stage if row.round == 0 else ""
                shared.setdefault(same or (row.method, row.round), []).append(row)
        rows, told = [], 0
        for group in shared.values():
            told += len(group)
            cells = result_row(results, max(group, key=lambda row: len(row.test_accuracies)))
            cells["method"] = _named([row.method for row in group])
            rows.append({name: cells[name] for name in _ROUND_COLUMNS if name in cells})
        title = f"{architecture}: {len(rows)} rows"
        if cut:
            title += f", judged rounds and last ones; the other {len(every) - told} in the CSV"
        lines = tuple(tuple(cells.values()) for cells in rows)
        found.append(Grid(title=title, columns=tuple(rows[0]), rows=lines))
    return found


def _named(methods: Sequence[str]) -> str:
    labels = [method_label(method) for method in methods]
    if len(labels) > _MAX_NAMED:
        return f"{labels[0]} and {len(labels) - 1} others"
    return "; ".join(labels)


def equal_steps_grids(results: Results) -> list[Grid]:
    """For each architecture: what each method reaches for the steps of the tested method."""
    found, every = [], equal_steps(results)
    for architecture in dict.fromkeys(e.architecture for e in every):
        own = [e for e in every if e.architecture == architecture]
        budgets = list(dict.fromkeys((e.steps, e.sparsity) for e in own))
        rows = []
        for method in ordered_methods(e.method for e in own):
            by_budget = {(e.steps, e.sparsity): e.row for e in own if e.method == method}
            cells = []
            for budget in budgets:
                row = by_budget.get(budget)
                same = row is None or abs(row.sparsity - budget[1]) < SAME_SPARSITY
                at = "" if row is None or same else f" ({sparsity_tick(row.sparsity)})"
                cells.append(_accuracy(row) + at)
            rows.append((method_label(method), *cells))
        tested = own_method(results, architecture)
        found.append(
            Grid(
                title=f"{architecture}: the steps that {method_label(tested or '')} paid",
                columns=(
                    "SGD steps; weights removed",
                    *(f"{count(steps)}; {sparsity_tick(share)} %" for steps, share in budgets),
                ),
                rows=tuple(rows),
            )
        )
    return found


def set_grids(results: Results) -> list[Grid]:
    """For each search with parts: CEP, CET, their overlap and the PrAC set by round.

    Searches with the same sizes share a table.
    """
    found, total = [], results.num_training_samples
    for architecture, methods in searches_by_sets(results):
        rows = [
            row
            for row in search_rows(results, architecture, methods[0])
            if row.cet_size is not None or row.cep_size is not None
        ]
        heads = [
            sparsity_tick(r.sparsity) + ("" if r.trained else ", not trained on") for r in rows
        ]
        easy = [("easy, drawn", *(count(r.easy_size) for r in rows))]
        found.append(
            Grid(
                title=f"{architecture}, {'; '.join(map(method_label, methods))}",
                columns=("weights removed, %", *heads),
                rows=(
                    ("CEP", *(count(r.cep_size) for r in rows)),
                    ("CET", *(count(r.cet_size) for r in rows)),
                    ("in both", *(count(r.overlap) for r in rows)),
                    *(easy if any(r.easy_size for r in rows) else ()),
                    ("set", *(count(r.set_size) for r in rows)),
                    ("of training", *(percent(r.set_size / total) for r in rows)),
                ),
            )
        )
    return found


def threshold_grids(results: Results) -> list[Grid]:
    """For each search: the set sizes that other thresholds would have made, equal ones once."""
    found = []
    for architecture, method in dict.fromkeys(
        (t.architecture, t.method) for t in results.thresholds
    ):
        own = [
            t for t in results.thresholds if (t.architecture, t.method) == (architecture, method)
        ]
        rounds = {t.round: t.sparsity for t in own}
        sizes = {(t.threshold, t.round): t.set_size for t in own}
        alike: dict[tuple[str, ...], list[int]] = {}
        for limit in sorted({t.threshold for t in own}):
            # Sets only shrink as it rises: those with the same sizes follow each other.
            line = tuple(count(sizes.get((limit, k))) for k in sorted(rounds))
            alike.setdefault(line, []).append(limit)
        found.append(
            Grid(
                title=f"{architecture}, {method_label(method)}",
                columns=("E_F \\ weights removed, %", *_ticks(rounds)),
                rows=tuple((_span(limits), *line) for line, limits in alike.items()),
            )
        )
    return found


def _span(limits: Sequence[int]) -> str:
    return f"{limits[0]} to {limits[-1]}" if limits[1:] else str(limits[0])


def memorised_grids(results: Results) -> list[Grid]:
    """When round 0 learned its samples: never is told apart from late."""
    rows = tuple(
        (m.architecture, count(m.epochs), *map(count, (m.at_once, m.early, m.late, m.never)))
        for m in results.memorised
    )
    columns = ("network", "epochs", "first", "half", "late", "never")
    title = (
        "Samples by the epoch in which round 0 first predicted them right: the first, up to half "
        "of them, late (after half), never"
    )
    return [Grid(title=title, columns=columns, rows=rows)] if rows else []


def layer_grids(results: Results) -> list[Grid]:
    """For each architecture: the sparsity of every layer under the last mask of each method."""
    found = []
    for architecture in dict.fromkeys(layer.architecture for layer in results.layers):
        own = [layer for layer in results.layers if layer.architecture == architecture]
        methods = ordered_methods(layer.method for layer in own)
        removed = {
            (layer.layer, layer.method): f"{100 * (1 - layer.alive / max(1, layer.weights)):.1f}"
            for layer in own
        }
        sizes = {layer.layer: layer.weights for layer in own}
        found.append(
            Grid(
                title=architecture,
                columns=("weights removed, %", "weights", *map(method_label, methods)),
                rows=tuple(
                    (name, count(size), *(removed.get((name, m), ABSENT) for m in methods))
                    for name, size in sizes.items()
                ),
            )
        )
    return found


def _dense(results: Results, architecture: str) -> str:
    """How accurate the network with all its weights is."""
    accuracy = results.dense_test_accuracy.get(architecture)
    found = sample_std(results.dense_test_accuracies.get(architecture, ()))
    return "" if accuracy is None else f" (dense: {spread(accuracy, found)})"


def _ticks(rounds: dict[int, float]) -> Sequence[str]:
    return [sparsity_tick(rounds[k]) for k in sorted(rounds)]


def _accuracy(row: RoundRow | None) -> str:
    if row is None or row.test_accuracy is None:
        return ABSENT
    # The heading says percent; a sign in every cell of a wide table is only noise.
    return spread(row.test_accuracy, row.test_std).removesuffix(" %")


def _points(points: float) -> str:
    return "0.0" if abs(points) < 0.05 else f"{points:+.1f}".replace("-", "−")


def _saving(row: RoundRow) -> str:
    """Of steps, and in brackets of wall time: `62 % (10 %)`."""
    if row.method == VANILLA:
        return ""
    time = "" if row.seconds_saved is None else f" ({percent(row.seconds_saved, 0)})"
    return f"{percent(row.steps_saved, 0)}{time}"
