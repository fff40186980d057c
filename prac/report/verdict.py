"""What was found, in plain words: whether choosing the samples paid, and which ticket to take.

The ticket that is looked at is chosen by validation accuracies, and told with its test accuracy.
Whether choosing the samples paid is decided over whole searches (`prac.analysis.decision`) and only
then worded: a ticket of chosen samples is taken only where it paid. The word "matches" needs three
seeds (arXiv:2106.03225, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from prac.analysis.decision import Decision
from prac.analysis.decision import Verdict as Paid
from prac.analysis.over_searches import decided
from prac.analysis.results import Results, RoundRow
from prac.analysis.statistics import MATCHING_SEEDS, Interval
from prac.config.methods import VANILLA, method_label
from prac.report.at_chance import at_chance
from prac.report.compare import (
    BASELINES,
    SEED_NOISE_POINTS,
    Comparison,
    Difference,
    best_validated,
    close_enough,
    comparisons,
    noise_points,
    sparsest,
    validated,
)
from prac.report.over_searches import advice, finding
from prac.report.wording import (
    architectures,
    count,
    duration,
    gap,
    methods_of,
    percent,
    searches_of,
    spread,
)

Level = Literal["good", "mixed", "poor", "open"]

_BY = "in validation accuracy"


SUGGESTED = {"select.soft": "0.25", "search.rewind": "learning-rate"}
"""What beat random samples in whole searches (tests/benchmarks/evidence/searches.md)."""

SUGGESTION = (
    "First try what beat random samples on CIFAR-10, after one cut: "
    f"{' '.join(f'--set {name}={value}' for name, value in SUGGESTED.items())} "
    "(sets that draw some of the other samples anew in every epoch, and weights that go on; "
    "--recipe cifar10_fast has both)."
)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The answer for one architecture.

    paid: whether choosing the samples paid, of the method under test. take: the ticket to take;
    None where nothing was judged, none comes close enough or nothing is decided yet. shown: the
    ticket that the first sentence is about. level: `good`, `mixed` (a ticket, with a caveat),
    `poor` (none close enough), `open` (can't be said yet). brief: what decides, in a line or two.
    advice: what would decide it, empty where it is decided. noise: what the seeds can't tell apart.
    """

    architecture: str
    paid: Paid
    take: RoundRow | None
    shown: RoundRow | None
    level: Level
    headline: str
    sentences: tuple[str, ...]
    brief: str
    advice: str
    noise: str

    @property
    def badge(self) -> str:
        """The answer first, before any sentence."""
        return f"choosing the samples: {self.paid}. "

    @property
    def text(self) -> str:
        """All sentences in a row."""
        return " ".join(filter(None, (*self.sentences, self.advice, self.noise)))


def verdicts(results: Results) -> list[Verdict]:
    """One verdict an architecture, in the order of the rows."""
    return [_verdict(results, architecture) for architecture in architectures(results)]


def earned_aliases(results: Results) -> dict[str, dict[str, str | None]]:
    """By architecture, which ticket has earned an alias; None: none has.

    `recommended`: the headline's. `sparsest-matching`: the sparsest that matches vanilla, which
    only three seeds or more can say.
    """
    earned: dict[str, dict[str, str | None]] = {}
    for verdict in verdicts(results):
        judged = comparisons(results, verdict.architecture)
        known = at_chance(results, verdict.architecture) is None
        matching = sparsest([c for c in judged if known and c.matches])
        earned[verdict.architecture] = {
            "recommended": None if verdict.take is None else verdict.take.ticket,
            "sparsest-matching": None if matching is None else matching.row.ticket,
        }
    return earned


def noise_sentence(results: Results) -> str:
    """What the seeds of these results can't tell apart, in a sentence."""
    seeds = results.num_seeds
    if seeds < 2:
        points, of = noise_points(results), "a rule of thumb"
        if points > SEED_NOISE_POINTS and results.num_test_samples:
            one = 100 / results.num_test_samples
            of = f"95 %, {count(results.num_test_samples)} test samples of {one:.2g} points each"
        return (
            f"A difference of two accuracies below about {points:.1f} points can't be told from "
            f"noise ({of}, one seed)."
        )
    means = (
        f"{_retrained(seeds)}: ± after an accuracy is the standard deviation over these trainings"
    )
    once = (
        f"Each search was run once, with seed {results.seed}: other sets, masks and stops may give "
        "other tickets."
    )
    if seeds < MATCHING_SEEDS:
        return f"{means}; {MATCHING_SEEDS} or more are needed to compare with vanilla. {once}"
    return f"{means}, ± after a difference its standard error (paired by seed). {once}"


def _retrained(seeds: int) -> str:
    """What the seeds vary: never the search."""
    return f"Tickets of one search, trained with {seeds} seeds"


def brief_verdicts(results: Results) -> list[tuple[str, str]]:
    """For a terminal, whose table has the numbers: networks and what is said of them, one after the
    other; what would decide it is said once for all that it is true of."""
    found = verdicts(results)
    told = [(v.architecture, f"{v.badge}{v.headline}. {v.brief}".strip()) for v in found]
    return told + advices(results, found)


def advices(results: Results, found: Sequence[Verdict]) -> list[tuple[str, str]]:
    """What paid elsewhere, and what would decide what is open: of which networks, and what."""
    advised: dict[str, list[str]] = {}
    measured = [v for v in found if v.paid in ("undecided", "did not pay")]
    if measured and _may_suggest(results):
        advised[SUGGESTION] = [verdict.architecture for verdict in measured]
    for verdict in found:
        if verdict.advice:
            advised.setdefault(verdict.advice, []).append(verdict.architecture)
    return [(", ".join(networks), told) for told, networks in advised.items()]


def _may_suggest(results: Results) -> bool:
    """Whether it tells how it searched, that was otherwise, and could have been so."""
    told = results.settings
    if not SUGGESTED.keys() <= told.keys():
        return False
    if told.get("select.filter", "0.0") not in ("0", "0.0"):
        return False  # which goes with no soft sets
    hard = told["select.soft"] in ("0", "0.0")
    return hard or told["search.rewind"] != SUGGESTED["search.rewind"]


def _verdict(results: Results, architecture: str) -> Verdict:
    if (nothing := at_chance(results, architecture)) is not None:
        return Verdict(
            architecture=architecture,
            paid="not measured",
            take=None,
            shown=None,
            level="open",
            headline="No ticket is recommended",
            sentences=(nothing,),
            brief=nothing,
            advice="",
            noise=noise_sentence(results),
        )
    judged = comparisons(results, architecture)
    own = own_method(results, architecture)
    close, reference = _close(judged)
    focus, decision = _focus(results, judged, close, own)
    paid: Paid = "not measured" if decision is None else decision.verdict
    take, level, headline = _choice(judged, focus, paid, own)
    shown = take or (focus if level == "open" else None) or best_validated(judged)
    sentences: list[str] = []
    if focus is not None and decision is not None:
        sentences.append(_choosing(results, focus, shown, decision))
    if shown is None:
        sentences.append(_unjudged(results, architecture, own))
    else:
        nearest = f"The best {_BY} is " if level == "poor" else ""
        sentences.append(nearest + _facts(shown))
    if focus is not None:
        sentences.extend(_matching(judged, focus, results.num_seeds))
        sentences.extend(_cheaper(results, judged, take))
        sentences.extend(_plain(results, close, take, reference))
        sentences.extend(_caveats(focus, shown))
    if take is not None and own is not None and focus is None:
        sentences.append(f"No {method_label(own)} ticket was judged.")
    return Verdict(
        architecture=architecture,
        paid=paid,
        take=take.row if take else None,
        shown=shown.row if shown else None,
        level=level,
        headline=headline,
        sentences=tuple(_sentence(text) for text in sentences),
        brief=sentences[0] if focus is None or decision is None else _brief(focus, decision),
        advice="" if not focus or not decision else advice(decision, focus.row.method, results),
        noise=noise_sentence(results),
    )


def _close(judged: Sequence[Comparison]) -> tuple[list[Comparison], str | None]:
    """The tickets within 1 point of dense; of vanilla where no dense network was judged. And of
    which of them, None where neither was."""
    if any(c.dense_validation is not None for c in judged):
        return [c for c in judged if c.near_dense], "dense"
    if any(c.vanilla_validation is not None for c in judged if c.row.method != VANILLA):
        return [c for c in judged if c.row.method != VANILLA and c.near_vanilla], VANILLA
    return [], None


def _choice(
    judged: Sequence[Comparison], focus: Comparison | None, paid: Paid, own: str | None
) -> tuple[Comparison | None, Level, str]:
    """The ticket to take: of chosen samples only where that paid; vanilla's, which rests on no
    choice, where it is sparser or where it did not pay; where nothing chose, the sparsest. Else
    none: chance may be as good."""
    close, reference = _close(judged)
    if not judged:
        return None, "open", "No ticket was judged"
    if reference is None:
        return None, "open", "Nothing to compare the judged tickets with"
    vanilla = _vanilla(judged, close, reference, focus)
    if not close and (vanilla is None or paid != "did not pay"):
        return None, "poor", f"No judged ticket comes within 1 point of {reference} {_BY}"
    if focus is None:
        return (take := sparsest(close)), "mixed" if own else "good", _take(take)
    candidate = sparsest([c for c in close if c is vanilla or c.row.method not in BASELINES])
    if candidate is vanilla is not None or (paid == "did not pay" and vanilla is not None):
        return vanilla, "mixed", _take(vanilla)
    if paid == "paid" and focus in close:
        return focus, "good", _take(focus)
    if paid in ("paid", "did not pay") or candidate is None:
        return None, "poor", "No ticket to take"
    return None, "open", "No ticket is recommended yet"


def _vanilla(
    judged: Sequence[Comparison],
    close: Sequence[Comparison],
    reference: str,
    focus: Comparison | None,
) -> Comparison | None:
    """Vanilla's sparsest ticket that is close enough; where it is the reference itself, the one
    that the ticket in question is compared with: how good it is, nothing tells."""
    if reference == VANILLA:
        rounds = () if focus is None else (focus.row.round,)
        return sparsest([c for c in judged if c.row.method == VANILLA and c.row.round in rounds])
    return sparsest([c for c in close if c.row.method == VANILLA])


def _take(ticket: Comparison | None) -> str:
    return "No ticket to take" if ticket is None else f"Take {_ticket(ticket.row)}"


def _facts(shown: Comparison) -> str:
    gaps = []
    for found, name in ((shown.dense, "dense"), (shown.vanilla, "vanilla")):
        if found is not None and name != shown.row.method:
            gaps.append(_gap(found, name))
    parts = [f"{_ticket(shown.row)}: {_accuracy(shown)} test accuracy"]
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


def _cheaper(results: Results, judged: Sequence[Comparison], take: Comparison | None) -> list[str]:
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
        f"The fewest SGD steps for that sparsity within 1 point of dense {_BY}: "
        f"{_found(results, least, method_label(least.row.method))}."
    ]


def _plain(
    results: Results, close: Sequence[Comparison], take: Comparison | None, reference: str | None
) -> list[str]:
    """What is there without a choice of samples, while nothing is decided about that: vanilla's,
    and where chance finds one as sparse for fewer steps, that."""
    vanilla = sparsest([c for c in close if c.row.method == VANILLA])
    if take is not None or vanilla is None:
        return []
    told = (
        f"Without a choice of samples, the sparsest within 1 point of {reference} {_BY}: "
        f"{_found(results, vanilla, _ticket(vanilla.row))}"
    )
    by_chance = [c for c in close if c.row.method in BASELINES and c.row.method != VANILLA]
    cheaper = [
        c
        for c in by_chance
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


def _matching(judged: Sequence[Comparison], focus: Comparison, seeds: int) -> list[str]:
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
    of = f"Of the {_retrained(seeds).lower()}"
    return [f"{of}, the sparsest {name} ticket that matches vanilla: {rest}."]


def _caveats(focus: Comparison, shown: Comparison | None) -> list[str]:
    """What speaks against the method under test; `focus` is its ticket that is looked at."""
    name, found = method_label(focus.row.method), []
    if focus is shown:
        it = "It"
    else:
        it = "That ticket"
        if focus.near_dense:
            found.append(f"{name} comes within 1 point of dense {_BY} up to {_facts_short(focus)}.")
        elif focus.dense is not None:
            found.append(
                f"No judged {name} ticket comes within 1 point of dense {_BY}: the nearest, at "
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


def _choosing(
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
        measured = f"{_ticket(focus.row)}, {measured}"
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


def _brief(focus: Comparison, decision: Decision) -> str:
    """What the decision rests on, of one ticket."""
    theirs = ((focus.random, "a random subset"), (focus.vanilla, VANILLA))
    parts = [_gap(found, name) for found, name in theirs if found is not None]
    if "steps" in decision.grounds and focus.steps_saved is not None:
        parts.append(_saving(focus.steps_saved, focus.row))
    return f"{_ticket(focus.row)}: {', '.join(parts)}." if parts else ""


def _unjudged(results: Results, architecture: str, own: str | None) -> str:
    rows = [r for r in results.rows if r.architecture == architecture and r.sparsity > 0]
    text = "No ticket was trained alone and tested, so its accuracy is not known."
    last = max(
        (r for r in rows if own is None or r.method == own), key=lambda r: r.round, default=None
    )
    if last is None:
        return text
    saved = last.steps_saved
    saving = "" if saved is None or last.method == VANILLA else f", {_saving(saved, last)}"
    return f"{text} The search made {_ticket(last)}{saving}."


def _focus(
    results: Results, judged: Sequence[Comparison], close: Sequence[Comparison], own: str | None
) -> tuple[Comparison | None, Decision | None]:
    """The ticket that the verdict is about, and what is decided of it: of the sparsest method that
    paid, else of the method under test. A method stands and falls with its sparsest ticket that is
    close enough in validation: the test split chooses no round."""
    found: dict[str, tuple[Comparison, Decision | None]] = {}
    for method in dict.fromkeys(c.row.method for c in judged if c.row.method not in BASELINES):
        mine = [c for c in judged if c.row.method == method]
        ticket = sparsest([c for c in mine if c in close]) or max(mine, key=validated)
        found[method] = ticket, decided(results, ticket.row)
    paid = [c for c, decision in found.values() if decision and decision.verdict == "paid"]
    best = sparsest([c for c in paid if c in close])
    return found.get(own or "" if best is None else best.row.method, (None, None))


def own_method(results: Results, architecture: str) -> str | None:
    """The method under test: PrAC where it is there, else the first that is no baseline."""
    tested = [m for m in methods_of(results, architecture) if m not in BASELINES]
    return tested[0] if tested else None


def _ticket(row: RoundRow) -> str:
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


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
