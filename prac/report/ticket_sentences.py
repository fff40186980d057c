"""The sentences of a verdict: what was measured of a ticket, and what speaks against it."""

from __future__ import annotations

from collections.abc import Sequence

from prac.analysis.decision import Decision
from prac.analysis.results import Results, RoundRow
from prac.analysis.statistics import MATCHING_SEEDS, Interval
from prac.config.methods import VANILLA, method_label
from prac.report.compare import Comparison, Difference, close_enough, noise_points, sparsest
from prac.report.over_searches import finding
from prac.report.wording import count, duration, gap, percent, searches_of, spread

BY = "in validation accuracy"


def facts(shown: Comparison) -> str:
    """The ticket that is shown: its accuracy, how far from dense and vanilla, and what it cost."""
    gaps = []
    for found, name in ((shown.dense, "dense"), (shown.vanilla, "vanilla")):
        if found is not None and name != shown.row.method:
            gaps.append(_gap(found, name))
    parts = [f"{ticket_named(shown.row)}: {_accuracy(shown)} test accuracy"]
    parts += [" and ".join(gaps)] if gaps else []
    row = shown.row
    parts.append(f"found in {count(row.search_steps)} SGD steps{_time(row)}")
    if row.method != VANILLA and shown.steps_saved is not None:
        # Known without a vanilla search: every round on everything has the full budget's steps.
        than = "every round on all samples" if shown.to_vanilla is None else "vanilla"
        parts.append(_fewer(shown.steps_saved, than) + _less(row))
    missing = []
    if shown.to_dense is None:
        missing.append("dense model")
    if shown.to_vanilla is None and shown.row.method != VANILLA:
        missing.append("vanilla ticket")
    text = ", ".join(parts) + "."
    if row.borrowed_steps:
        text += (
            f" That rests on {count(row.borrowed_steps)} SGD steps "
            f"({duration(row.borrowed_seconds)}) that are on another bill: "
            f"{searches_of(row.borrowed_from)}."
        )
    return text + (f" There is no {' and no '.join(missing)} to compare with." if missing else "")


def cheaper(results: Results, judged: Sequence[Comparison], take: Comparison | None) -> list[str]:
    """The ticket that the fewest steps find, as sparse as the one to take and close enough too."""
    if take is None:
        return []
    close = [c for c in judged if c.row.round == take.row.round and c.near_dense]
    least = min(
        close,
        key=lambda c: (c.row.search_steps, -(c.row.judge_validation_accuracy or 0.0)),
        default=take,
    )
    if least.row.search_steps >= take.row.search_steps:
        return []
    return [
        f"The fewest SGD steps for that sparsity within 1 point of dense {BY}: "
        f"{_found(results, least, method_label(least.row.method))}."
    ]


def without_choice(
    results: Results, close: Sequence[Comparison], take: Comparison | None, reference: str | None
) -> list[str]:
    """What is there without a choice of samples, while nothing is decided about that: vanilla's,
    and where chance finds one as sparse for fewer steps, that."""
    vanilla = sparsest([c for c in close if c.row.method == VANILLA])
    if take is not None or vanilla is None:
        return []
    told = (
        f"Without a choice of samples, the sparsest within 1 point of {reference} {BY}: "
        f"{_found(results, vanilla, ticket_named(vanilla.row))}"
    )
    others = [c for c in close if c.baseline and c.row.method != VANILLA]
    cheaper = [
        c
        for c in others
        if c.row.sparsity >= vanilla.row.sparsity and c.row.search_steps < vanilla.row.search_steps
    ]
    if cheaper:
        least = min(cheaper, key=lambda c: c.row.search_steps)
        told += f"; for fewer, {_found(results, least, method_label(least.row.method))}"
    return [f"{told}."]


def _found(results: Results, ticket: Comparison, name: str) -> str:
    row = ticket.row
    return (
        f"{name}, {_accuracy(ticket)} test accuracy, {count(row.search_steps)} SGD "
        f"steps{_time(row)}{_borrowed(results, row)}"
    )


def _borrowed(results: Results, row: RoundRow) -> str:
    """That a control has its set sizes from PrAC's search: it is no way to find them."""
    searches = [b for b in results.bills if b.architecture == row.architecture]
    takes = any(b.method == row.method and b.borrowed_steps for b in searches)
    return ", with the set sizes of another search" if takes else ""


def sparsest_matching(judged: Sequence[Comparison], focus: Comparison, seeds: int) -> list[str]:
    """How sparse the method's tickets match vanilla; nothing where too few seeds were judged."""
    name = method_label(focus.row.method)
    own = [c for c in judged if c.row.method == focus.row.method and c.matches is not None]
    if not own:
        return []
    found = sparsest([c for c in own if c.matches])
    if found is None:
        # Of a single one the caveat says so.
        return [f"No judged {name} ticket matches vanilla at its sparsity."] if own[1:] else []
    saving = "" if found.steps_saved is None else f", {_saving(found.steps_saved, found.row)}"
    rest = f"{percent(found.row.sparsity)} sparsity{saving}"
    of = f"Of the {retrained(seeds).lower()}"
    return [f"{of}, the sparsest {name} ticket that matches vanilla: {rest}."]


def caveats(focus: Comparison, shown: Comparison | None) -> list[str]:
    """What speaks against the method under test; `focus` is its ticket that is looked at."""
    name, found = method_label(focus.row.method), []
    if focus is shown:
        it = "It"
    else:
        it = "That ticket"
        if focus.near_dense:
            found.append(f"{name} comes within 1 point of dense {BY} up to {_facts_short(focus)}.")
        elif focus.dense is not None:
            found.append(
                f"No judged {name} ticket comes within 1 point of dense {BY}: the nearest, at "
                f"{_facts_short(focus)}, is {_gap(focus.dense, 'dense')}."
            )
        else:
            found.append(f"{name} reaches {_facts_short(focus)}.")
    if focus.vanilla is not None and focus.matches is False:
        found.append(
            f"{it} does not match vanilla at the same sparsity: {_gap(focus.vanilla, 'vanilla')}."
        )
    elif focus.vanilla is not None and not close_enough(focus.to_vanilla):
        found.append(
            f"{it} does not come within 1 point of vanilla at the same sparsity: "
            f"{_gap(focus.vanilla, 'vanilla')}."
        )
    return found


def choosing(
    results: Results, focus: Comparison, shown: Comparison | None, decision: Decision
) -> str:
    """Whether choosing the samples paid, and what was measured, with what can't be told apart."""
    theirs = (
        (decision.to_control, focus.random, "a random subset of the same size"),
        (decision.to_vanilla, focus.vanilla, VANILLA),
    )
    parts = [
        _over(interval, name) if interval is not None else _gap(found, name)
        for interval, found, name in theirs
        # The facts of the ticket that is shown have its distance to vanilla.
        if found is not None and (interval is not None or name != VANILLA or focus is not shown)
    ]
    seeds = len({row.search_seed for row in results.searches})
    measured = " and ".join(parts)
    if measured and focus is not shown:
        measured = f"{ticket_named(focus.row)}, {measured}"
    if measured and seeds > 1:
        measured += f", over {seeds} searches"
    elif measured:
        points = noise_points(results)
        small = results.num_seeds < 2 and all(
            abs(found.points) < points for _, found, _ in theirs if found is not None
        )
        told = f"where differences below {points:.1f} points can't be told from noise"
        measured += f", {told}" if small else ", in one search"
    return finding(decision, results.margin, measured)


def _over(interval: Interval, name: str) -> str:
    """A difference over whole searches with its interval, in points."""
    low, high = 100 * interval.low, 100 * interval.high
    return f"{gap(100 * interval.mean, name)} (95 %: {low:+.1f} to {high:+.1f})".replace("-", "−")


def brief(focus: Comparison, decision: Decision) -> str:
    """What the decision rests on, of one ticket."""
    theirs = ((focus.random, "a random subset"), (focus.vanilla, VANILLA))
    parts = [_gap(found, name) for found, name in theirs if found is not None]
    if "steps" in decision.grounds and focus.steps_saved is not None:
        parts.append(_saving(focus.steps_saved, focus.row))
    return f"{ticket_named(focus.row)}: {', '.join(parts)}." if parts else ""


def unjudged(results: Results, architecture: str, own: str | None) -> str:
    """That nothing was judged, and the last ticket that the search made."""
    rows = [r for r in results.rows if r.architecture == architecture and r.sparsity > 0]
    text = "No ticket was trained alone and tested, so its accuracy is not known."
    last = max(
        (r for r in rows if own is None or r.method == own), key=lambda r: r.round, default=None
    )
    if last is None:
        return text
    saved = last.steps_saved
    saving = "" if saved is None or last.method == VANILLA else f", {_saving(saved, last)}"
    return f"{text} The search made {ticket_named(last)}{saving}."


def ticket_named(row: RoundRow) -> str:
    """`PrAC at 78.4 % sparsity`."""
    return f"{method_label(row.method)} at {percent(row.sparsity)} sparsity"


def _accuracy(c: Comparison) -> str:
    return spread(c.test_accuracy, c.test_std, 1 if c.test_std is None else 2)


def _gap(found: Difference, name: str) -> str:
    return gap(found.points, name, found.error if found.pairs >= MATCHING_SEEDS else None)


def _facts_short(c: Comparison) -> str:
    saving = "" if c.steps_saved is None else f", {_saving(c.steps_saved, c.row)}"
    return f"{percent(c.row.sparsity)} sparsity ({_accuracy(c)} test accuracy{saving})"


def _saving(saved: float, row: RoundRow) -> str:
    return _fewer(saved, "vanilla", " SGD steps") + _less(row)


def _time(row: RoundRow) -> str:
    return "" if row.search_seconds is None else f" ({duration(row.search_seconds)})"


def _less(row: RoundRow) -> str:
    """Wall time, which steps alone hide."""
    saved = row.seconds_saved
    if saved is None:
        return ""
    return f" in {percent(abs(saved), 0)} {'more' if saved < 0 else 'less'} time"


def _fewer(saved: float, than: str, what: str = "") -> str:
    told = percent(abs(saved), 0)
    if told == percent(0.0, 0):
        return f"as many{what} as {than}"
    return f"{told} {'more' if saved < 0 else 'fewer'}{what} than {than}"


def retrained(seeds: int) -> str:
    """What the seeds vary: never the search."""
    return f"Tickets of one search, trained with {seeds} seeds"
