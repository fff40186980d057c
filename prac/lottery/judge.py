"""A ticket judged in this process."""

from __future__ import annotations

from typing import Any

from prac.config.recipe import Recipe
from prac.config.recipes import get_recipe
from prac.data.sources import as_source
from prac.errors import ConfigError
from prac.lottery.progress import EpochNews
from prac.lottery.search import Local
from prac.lottery.turn import turn
from prac.ticket.format import Ticket
from prac.ticket.retrain import Judgement, own_recipe, train_ticket


def judge(
    ticket: Ticket,
    *,
    data: Any = None,
    recipe: str | Recipe | None = None,
    seed: int = 0,
    network: Any = None,
    how: Local = Local(),  # noqa: B008  a frozen value
) -> Judgement:
    """Train a ticket alone from its rewind weights, for the recipe's full budget, and test it once.

    data: as `search` takes it; None is the recipe's. recipe: a name or a value; None is that of the
    ticket's search, by its name. With the search's own recipe, data and seed it is the
    judgement of its graph, to the bit. network: makes the module, where the ticket's own was
    handed over in another process. Raises ConfigError and TicketError for what doesn't fit.
    """
    if recipe is None:
        recipe = own_recipe(ticket)
    elif isinstance(recipe, str):
        recipe = get_recipe(recipe)
    source = as_source(recipe.data.source if data is None else data, recipe.data)
    if network is not None:
        ticket = ticket.with_network(network)
    if how.train_round is not None:
        raise ConfigError("judge trains a ticket by our own loop; how.train_round is of searches")
    with turn(how.threads):
        return train_ticket(
            ticket,
            source.load(),
            recipe.train,
            recipe.augment,
            seed=seed,
            device=how.device,
            on_epoch=lambda end: how.display.news(EpochNews.of("judge", end)),
        )
