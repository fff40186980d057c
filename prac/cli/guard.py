"""How a command ends: a line of JSON, or one line of error and a status."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from prac.errors import PracError, shown


def guarded(action: Callable[[], dict[str, Any] | None]) -> int:
    """Run something; a user's error ends in one line on stderr and its exit status.

    What the action returns is printed as one line of JSON, the last.
    """
    # Off the main thread Python allows no handler, and nobody would interrupt it there.
    main = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGTERM, _interrupt) if main else None
    try:
        result = action()
    except PracError as error:
        print(f"error: {shown(' '.join(str(error).split()))}", file=sys.stderr, flush=True)
        return error.exit_status
    except KeyboardInterrupt:
        print(
            "error: interrupted; finished stages are kept, the same command goes on from there",
            file=sys.stderr,
            flush=True,
        )
        return 130
    finally:
        if main:
            signal.signal(signal.SIGTERM, previous)
    if result:
        print(json.dumps(result), flush=True)
    return 0


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
