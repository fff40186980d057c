"""`prac complete`: tab completion for a shell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prac.app.console import say
from prac.cli.stored import add_command

# Slow imports stand in functions: see `prac.cli`.
if TYPE_CHECKING:
    import argparse


def add(commands: Any) -> None:
    parser = add_command(
        commands,
        "complete",
        help="print a script that completes prac's commands and options on the Tab key",
        examples=[
            "bash:  prac complete bash > ~/.local/share/bash-completion/completions/prac",
            'zsh:   prac complete zsh > "${fpath[1]}/_prac"',
            "tcsh:  prac complete tcsh > ~/.prac.completion  # source it in ~/.tcshrc",
        ],
        action=print_script,
    )
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="for this shell")


def print_script(arguments: argparse.Namespace) -> None:
    """Print the script; the parser itself knows all commands and options."""
    import shtab

    from prac.cli import build_parser

    say(shtab.complete(build_parser(), shell=arguments.shell))
