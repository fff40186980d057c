"""When all will be done, as far as that is known."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from prac.app.progress import Forecast, about
from prac.lottery.compose import build_graph
from prac.lottery.request import Request


def test_nothing_is_foreseen_before_a_fifth_is_done(
    request_for: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    graph = build_graph(request_for(architectures=("conv4",), compare=("vanilla",), rounds=3))
    stages = list(graph.stages.values())
    forecast, told = Forecast(stages), []
    for stage in stages:
        now += 10.0
        told.append(forecast.finished(stage))
    known = [seconds is not None for seconds in told]
    assert known == sorted(known)
    assert not known[0]
    assert known[-1]
    assert told[-1] == pytest.approx(0)
    assert [about(None), about(65.2)] == ["", "about 01:05 left"]
