"""A ticket's run in MLflow: its page, its model, the version that registers it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prac.analysis.metric import Metric
from prac.errors import TicketError
from prac.lottery.graph import Stage
from prac.lottery.outputs import SET, TICKET, Made, TicketFacts
from prac.ticket.format import Ticket
from prac.tracking.connection import Connection
from prac.tracking.datasets import DataInput
from prac.tracking.models import usage, write_model
from prac.tracking.shown import Shown
from prac.tracking.tickets import model_name, register
from prac.tracking.views import PERCENT, POINTS

Dress = Callable[[Ticket, TicketFacts, Path], None]
"""Adds to the folder of a ticket's stage what people look at."""

_METRICS = (
    "sparsity",
    "weights_alive",
    "set_size",
    "search_steps",
    "steps_saved",
    "flops_sparse",
    "bytes_sparse",
    "test_accuracy",
    "validation_accuracy",
    "dense_test_accuracy",
    "found_test_accuracy",
    "found_validation_accuracy",
    "found_steps",
)
_PARAMETERS = ("architecture", "data", "method", "round", "rewind", "recipe", "seed")
_TAGS = ("architecture", "data", "method")
_SHARES = ("sparsity", "validation_accuracy", "test_accuracy")
"""Of versions; the rest is in their texts, and in metrics and parameters of their runs."""


def dressed(
    store: Connection, stage: Stage, made: Made, folder: Path, dress: Dress | None
) -> tuple[Shown, Callable[[str, str], None]]:
    """Write a ticket with all that its run has into `folder`; what its page shows, and what
    registers it once it is logged."""
    facts = made.known(TicketFacts)
    ticket = made[TICKET]
    TICKET.write(folder, ticket)
    no_graph = None
    if ticket.trained is not None:
        try:
            write_model(ticket, folder / TICKET.name)
        except TicketError as error:
            # The search is paid for: its ticket is kept, for `Ticket.load`.
            no_graph = str(error)
    if SET in made.files:
        SET.write(folder, made[SET])
    if dress is not None:
        dress(ticket, facts, folder)
    inputs = [DataInput.of_facts(facts)]
    if facts.set_digest:
        inputs.append(DataInput.of_set(facts))
    return ticket_shown(facts), register(
        store,
        model_name(facts.data, facts.architecture),
        stage.key,
        lambda where: description(facts, where, no_graph),
        registered_tags(facts),
        inputs,
        facts.data_fingerprint,
        charted_metrics(facts),
    )


def ticket_shown(facts: TicketFacts) -> Shown:
    """Title, parameters, metrics and tags of a ticket's run."""
    known = {name: getattr(facts, name) for name in _METRICS}
    known["weights_left"] = 1 - facts.sparsity
    return Shown(
        title=facts.title,
        parameters={name: getattr(facts, name) for name in _PARAMETERS},
        # Six decimals are what a column of MLflow's table has room for; the facts are whole.
        metrics=[
            Metric(name=name, value=round(value, 6))
            for name, value in known.items()
            if value is not None
        ],
        tags=_tags(facts),
    )


def _tags(facts: TicketFacts) -> dict[str, str]:
    told = {name: getattr(facts, name) for name in _TAGS}
    # No equal of one that was trained alone: which most are, and are not told to be.
    return {**told, "as_found": "true"} if facts.as_found else told


def registered_tags(facts: TicketFacts) -> dict[str, str]:
    """Tags of the model and of its version."""
    shares = {name: getattr(facts, name) for name in _SHARES}
    known = {name: f"{share:.6f}" for name, share in shares.items() if share is not None}
    return {**_tags(facts), **known}


def charted_metrics(facts: TicketFacts) -> dict[str, float]:
    """Metrics that stand in the charts of tickets, in percent."""
    accuracy, dense = facts.test_accuracy, facts.dense_test_accuracy
    if accuracy is None:
        return {}
    points = {} if dense is None else {POINTS: round(100 * (accuracy - dense), 4)}
    return {PERCENT: round(100 * accuracy, 4), **points}


def description(facts: TicketFacts, where: str, no_graph: str | None = None) -> str:
    """Markdown: what it is, what it cost, how to take it from `where`. no_graph: why MLflow can't
    load it."""
    accuracy = "not judged yet" if facts.test_accuracy is None else f"{facts.test_accuracy:.2%}"
    dense = ""
    if facts.dense_test_accuracy is not None:
        dense = f" (dense network: {facts.dense_test_accuracy:.2%})"
    loading = no_graph or usage(where, facts.image_shape)
    share = facts.set_size / facts.num_training
    goes_on = facts.rewind == "learning-rate"
    rewound = "its weights go on" if goes_on else f"rewound to {facts.rewind}"
    rows = {
        f"test accuracy, {_tested(facts)}": f"{accuracy}{dense}",
        **_as_found(facts),
        "found by": f"{facts.method}, round {facts.round}, {rewound}",
        "set": f"{facts.set_size:,} of {facts.num_training:,} training samples ({share:.1%})",
        "SGD steps to find it": f"{facts.search_steps:,} ({facts.steps_saved:.1%} fewer than "
        "vanilla)",
        "FLOPs of an image": f"{facts.flops_sparse:,} of {facts.flops_dense:,}, where zeros are "
        "skipped",
        "bytes of the weights": f"{facts.bytes_sparse:,} of {facts.bytes_dense:,}, with a bit a "
        "pruned weight's place",
        "recipe, seed": f"{facts.recipe}, {facts.seed}",
    }
    pruned = f"{facts.sparsity:.2%} of the prunable weights (prune.layers={facts.layers}) pruned"
    if facts.sparsity_of_all is not None:
        pruned += f", {facts.sparsity_of_all:.2%} of all"
    return (
        # Lists show the first words as they are.
        f"{facts.method}: {facts.architecture} on {facts.data}, {pruned}: "
        f"{facts.weights_alive:,} of {facts.weights:,} are left.\n\n"
        "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in rows.items())
    ) + (
        "\n```python\nimport prac\n"
        f'ticket = prac.Ticket.load("{where}")\n'
        "network = ticket.build()  # sparse, and stays so while you train it\n```\n"
        + ("" if facts.test_accuracy is None else "\n" + loading)
    )


def _tested(facts: TicketFacts) -> str:
    return "as the search left it trained" if facts.as_found else "trained alone from here"


def _as_found(facts: TicketFacts) -> dict[str, str]:
    if facts.found_test_accuracy is None:
        return {}
    return {
        "test accuracy as found, `build(found=True)`": f"{facts.found_test_accuracy:.2%}, after "
        f"{facts.found_steps:,} SGD steps in all, none of them to judge it"
    }
