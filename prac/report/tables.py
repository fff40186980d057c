"""Results as tables of text for people; CSV files with every digit are in `csv_files`."""

from __future__ import annotations

from prac.analysis.results import Bill, Results, RoundRow
from prac.config.methods import method_label
from prac.report.wording import (
    ABSENT,
    count,
    duration,
    energy,
    percent,
    searches_of,
    short_count,
    spread,
)


def result_row(results: Results, row: RoundRow) -> dict[str, str]:
    """One round as text by heading, in the order of a table; `as found` where weights go on."""
    goes_on = any(each.found_test_accuracy is not None for each in results.rows)
    found = {"as found": percent(row.found_test_accuracy, 2)} if goes_on else {}
    return {
        "architecture": row.architecture,
        "method": method_label(row.method),
        "round": str(row.round),
        "sparsity": percent(row.sparsity, 2),
        "of all weights": percent(row.sparsity_of_all, 2),
        "validation": percent(row.validation_accuracy, 2),
        "test": spread(row.test_accuracy, row.test_std),
        **found,
        "set size": count(row.set_size),
        "CET": count(row.cet_size),
        "CEP": count(row.cep_size),
        "overlap": count(row.overlap),
        "epochs (of budget)": f"{row.epochs} (of {row.budget_epochs})" if row.trained else ABSENT,
        "steps": count(row.steps) if row.trained else ABSENT,
        "steps to find": count(row.search_steps),
        "saved": percent(row.steps_saved),
        "time to find": duration(row.search_seconds),
        "time saved": percent(row.seconds_saved),
        "ticket FLOPs": short_count(row.flops_sparse),
        "ticket bytes": short_count(row.bytes_sparse),
    }


def bill_table(results: Results) -> list[dict[str, str]]:
    """What each search cost, one row a search, as text, and what those of a network cost together.

    Searches of one network share stages, which the row `together` counts once.
    """
    return [
        {
            "architecture": bill.architecture,
            "method": method_label(bill.method),
            "SGD steps": count(bill.steps),
            "steps of others": _borrowed(bill),
            "samples": count(bill.samples),
            "CEP": count(bill.cep_samples),
            "scores": count(bill.score_samples),
            "evaluation": count(bill.evaluation_samples),
            "FLOPs": short_count(bill.flops),
            "wall time": duration(bill.seconds),
            "energy": energy(bill.joules),
        }
        for bill in _with_sums(results)
    ]


def _with_sums(results: Results) -> list[Bill]:
    """The bills, those of each architecture before what they are together."""
    names = dict.fromkeys(bill.architecture for bill in results.bills)
    every = (*results.bills, *results.bills_together)
    return [bill for name in names for bill in every if bill.architecture == name]


def _borrowed(bill: Bill) -> str:
    """What a search rests on and doesn't pay, and who does."""
    if not bill.borrowed_steps:
        return ABSENT
    whose = f" ({searches_of(bill.borrowed_from)})" if bill.borrowed_from else ""
    return f"{count(bill.borrowed_steps)}{whose}"


def judging_table(results: Results) -> list[dict[str, str]]:
    """What judging each search's tickets cost, as text; searches without judgements are left out.

    It is evaluation, and in no sum of `bill_table`.
    """
    return [
        {
            "architecture": bill.architecture,
            "method": method_label(bill.method),
            "SGD steps": count(bill.judging_steps),
            "samples": count(bill.judging_samples),
            "evaluation": count(bill.judging_evaluation_samples),
            "FLOPs": short_count(bill.judging_flops),
            "wall time": duration(bill.judging_seconds),
            "energy": energy(bill.judging_joules),
        }
        for bill in _with_sums(results)
        if bill.judging_steps
    ]


def energy_sources(results: Results) -> str:
    """What told the energy, or why nothing did."""
    return "; ".join(dict.fromkeys(bill.energy_source for bill in results.bills))


def key_rows(results: Results) -> list[RoundRow]:
    """The rows that matter most: tickets that were judged or tested as found, and each search's
    last row. A dense run that methods share is as found once."""
    last: dict[tuple[str, str], RoundRow] = {}
    dense: dict[str, RoundRow] = {}
    for row in results.rows:
        search = (row.architecture, row.method)
        if search not in last or row.round >= last[search].round:
            last[search] = row
        if row.round == 0:
            dense.setdefault(row.stage, row)
    return [
        row
        for row in results.rows
        if row.test_accuracies
        or (row.found_test_accuracy is not None and dense.get(row.stage, row) is row)
        or row is last[row.architecture, row.method]
    ]
