"""What a user can get wrong, each with a way out in one line."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from itertools import pairwise

# A password may hold any @ but the last; a user's name alone is no secret. Without bounds a long
# word would take as long as the square of its length.
_LOGIN = re.compile(r"([a-z][a-z0-9+.-]{0,30}://[^\s/?#:@'\"]*):[^\s/?#'\"]*@", re.IGNORECASE)
_FIELD = re.compile(
    r"([?&][a-z0-9_.-]{0,60}(?:password|passwd|pwd|secret|token|api_?key)[a-z0-9_.-]{0,60}=)[^&\s#'\"]*",
    re.IGNORECASE,
)


def without_passwords(text: str) -> str:
    """A text whose URIs have *** where their passwords were, in logins and in query fields."""
    return _FIELD.sub(r"\1***", _LOGIN.sub(r"\1:***@", text))


# All but ASCII, line feeds, tabs and spaces of any width.
_UNUSUAL = re.compile(r"[^\x20-\x7e\n\t\xa0\u2000-\u200a\u202f\u3000]")


def printable(text: str) -> str:
    """A text whose control characters, but for line feeds and tabs, are escaped: \\u001b.

    Names come from strangers' files: on a terminal or a page they do nothing.
    """
    return _UNUSUAL.sub(lambda found: shown(found[0]), text)


def shown(text: str) -> str:
    """A name in a message: all that is not printable is escaped, line feeds as well."""
    return "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class PracError(Exception):
    """An error whose message is one line for the user: what, where, what is allowed.

    The passwords of URIs in it are told to nobody: errors are printed, logged and travel.
    """

    exit_status = 1

    def __init__(self, *told: object) -> None:
        super().__init__(*(without_passwords(t) if isinstance(t, str) else t for t in told))


class OutsideError(PracError):
    """What another library raised where a service or a machine failed: at a start, a connection or
    an end. The line says what to do; who prints it keeps the whole text of its cause in a file."""


class ConfigError(PracError, ValueError):
    """A setting, a data set or a model that can't be used; raised before anything starts."""

    exit_status = 2


class EventLogError(PracError, ValueError):
    """Event files that are missing, cut short, doubled or of another run."""


class EmptySetError(PracError, ValueError):
    """A selection that kept no sample: nothing could be trained on it."""


class CheckpointError(PracError, ValueError):
    """A checkpoint that is damaged or belongs to another run."""

    exit_status = 2


class TicketError(PracError, ValueError):
    """A ticket that is damaged or doesn't fit the model it is applied to."""

    exit_status = 2


class StoreError(PracError, RuntimeError):
    """A store of finished stages that can't be reached, or an artifact that fails its checksum."""


_MANY = 200
"""So many names are no line any more."""


def unknown(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    """The error for a name that isn't known, with the names that are, or those of many that come
    closest, and the closest."""
    names, name = sorted(known), name[:100]  # what is alike takes as long as the square of it
    close = difflib.get_close_matches(name, names, n=8)
    told = ", ".join(names)
    if len(names) > _MANY:
        told = f"{len(names)} names, such as {', '.join(close or names[:8])}"
    return ConfigError(f"{kind} {name!r} is not known; known: {told}{did_you_mean(name, names)}")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'vanilla'?` where a known name is close; empty elsewhere."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def first_line(error: BaseException, limit: int = 300) -> str:
    """The first line of what another library's error says, for one of ours; never empty.

    Lines behind it are where such errors keep their traces; many errors say nothing at all.
    """
    lines = str(error).strip().splitlines()
    told = lines[0].rstrip() if lines else type(error).__name__
    return without_passwords(told)[:limit]  # before a cut could hide that it is one


def telling_line(text: str) -> str:
    """The line of an error's text that says what happened: the first, and behind a traceback the
    one that it ends in. Some errors, such as CUDA's, go on with lines of advice."""
    lines = text.strip().splitlines() or [""]
    ends = [
        line
        for before, line in pairwise(lines)
        if before.startswith(" ") and not line.startswith(" ") and line
    ]
    return (ends or lines[:1])[-1]


def lacks(what: str) -> str:
    """The line for a copy of the project that lacks a part of it."""
    return (
        f"this copy of the project lacks {what}; a Ray job is sent without what .gitignore names, "
        "at any depth: 'data/' there takes prac/data, '/data/' does not"
    )
