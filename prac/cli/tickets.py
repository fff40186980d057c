"""`prac tickets`: what can be done with a ticket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    """Add the commands."""
    tickets = commands.add_parser("tickets", help="look at tickets")
    actions = tickets.add_subparsers(dest="ticket_command", required=True, metavar="COMMAND")
    show = actions.add_parser("show", help="print a ticket's lineage, after verifying it")
    show.add_argument("where", help="a folder, models:/NAME/VERSION or models:/NAME@alias")
    show.set_defaults(action=show_ticket)


def show_ticket(arguments: argparse.Namespace) -> dict[str, Any]:
    """Load and verify a ticket; its lineage."""
    from prac.ticket import Ticket

    ticket = Ticket.load(arguments.where)
    ticket.verify()
    return {"sparsity": ticket.sparsity, "weights_alive": ticket.mask.num_alive, **ticket.lineage}
