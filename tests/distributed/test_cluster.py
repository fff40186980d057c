"""A cluster that can't be had ends in one line."""

from __future__ import annotations

from typing import NoReturn

import pytest
import ray

from prac.distributed.cluster import connected
from prac.errors import PracError


@pytest.mark.parametrize(
    ("error", "said"),
    [(ConnectionError("no head\nat all"), "no head"), (TimeoutError(), "Timeout")],
)
def test_an_error_without_a_word_is_told_too(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**_: object) -> NoReturn:
        raise error

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(PracError, match=rf"could be reached or started \({said}"), connected():
        pass
