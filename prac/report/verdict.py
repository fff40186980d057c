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
from prac.analysis.statistics import MATCHING_SEEDS
from prac.config.methods import VANILLA, method_label
from prac.report.at_chance import at_chance
from prac.report.compare import (
    SEED_NOISE_POINTS,
    Comparison,
    best_validated,
    comparisons,
    noise_points,
    own_method,
    sparsest,
    validated,
)
from prac.report.over_searches import advice
from prac.report.ticket_sentences import (
    BY,
    brief,
    caveats,
    cheaper,
    choosing,
    facts,
    retrained,
    sparsest_matching,
    ticket_named,
    unjudged,
    without_choice,
)
from prac.report.wording import architectures, count

Level = Literal["good", "mixed", "poor", "open"]

SUGGESTED = {
    "search.rounds": "1",
    "prune.fraction": "0.784",
    "prune.tolerance": "none",
    "select.soft": "0.25",
    "search.rewind": "learning-rate",
}
"""What beat random samples in whole searches (tests/benchmarks/evidence/searches.md)."""

SUGGESTION = (
    "First try what beat random samples on CIFAR-10: "
    f"{' '.join(f'--set {name}={value}' for name, value in SUGGESTED.items())} "
    "(all the pruning at once, then weights that go on, on sets that draw some of the other "
    "samples anew in every epoch; --recipe cifar10_fast has all of it)."
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
        # A verdict that shows no ticket knows nothing of any.
        judged = [] if verdict.shown is None else comparisons(results, verdict.architecture)
        matching = sparsest([c for c in judged if c.matches])
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
        f"{retrained(seeds)}: ± after an accuracy is the standard deviation over these trainings"
    )
    once = (
        f"Each search was run once, with seed {results.seed}: other sets, masks and stops may give "
        "other tickets."
    )
    if seeds < MATCHING_SEEDS:
        return f"{means}; {MATCHING_SEEDS} or more are needed to compare with vanilla. {once}"
    return f"{means}, ± after a difference its standard error (paired by seed). {once}"


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
    if not {"select.soft", "search.rewind"} <= told.keys():
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
        sentences.append(choosing(results, focus, shown, decision))
    if shown is None:
        sentences.append(unjudged(results, architecture, own))
    else:
        nearest = f"The best {BY} is " if level == "poor" else ""
        sentences.append(nearest + facts(shown))
    if focus is not None:
        sentences.extend(sparsest_matching(judged, focus, results.num_seeds))
        sentences.extend(cheaper(results, judged, take))
        sentences.extend(without_choice(results, close, take, reference))
        sentences.extend(caveats(focus, shown))
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
        brief=sentences[0] if focus is None or decision is None else brief(focus, decision),
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
        return None, "poor", f"No judged ticket comes within 1 point of {reference} {BY}"
    if focus is None:
        return (take := sparsest(close)), "mixed" if own else "good", _take(take)
    candidate = sparsest([c for c in close if c is vanilla or not c.baseline])
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
    return "No ticket to take" if ticket is None else f"Take {ticket_named(ticket.row)}"


def _focus(
    results: Results, judged: Sequence[Comparison], close: Sequence[Comparison], own: str | None
) -> tuple[Comparison | None, Decision | None]:
    """The ticket that the verdict is about, and what is decided of it: of the sparsest method that
    paid, else of the method under test. A method stands and falls with its sparsest ticket that is
    close enough in validation: the test split chooses no round."""
    found: dict[str, tuple[Comparison, Decision | None]] = {}
    for method in dict.fromkeys(c.row.method for c in judged if not c.baseline):
        mine = [c for c in judged if c.row.method == method]
        ticket = sparsest([c for c in mine if c in close]) or max(mine, key=validated)
        found[method] = ticket, decided(results, ticket.row)
    paid = [c for c, decision in found.values() if decision and decision.verdict == "paid"]
    best = sparsest([c for c in paid if c in close])
    return found.get(own or "" if best is None else best.row.method, (None, None))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
