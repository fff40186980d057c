"""Every stage leaves its wall time and its energy for the bill."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest
from prac.distributed.made import Made

from prac.distributed import stages
from prac.lottery import energy
from prac.lottery.energy import RaplCounter, stage_meter


def _running(kind: str) -> Any:
    resources = SimpleNamespace(workers=3, cpus_per_round=2, gpus_per_round=0, gpus_per_worker=0)
    return SimpleNamespace(
        stage=SimpleNamespace(kind=kind), context=SimpleNamespace(resources=resources)
    )


def test_a_stage_gains_time_and_energy(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setattr(energy, "RaplCounter", lambda: RaplCounter(tmp_path))

    def make(running: Any) -> Made:
        time.sleep(0.02)
        return Made(values={"set_size": 3})

    values = stages._metered(make)(_running("select")).values
    assert values["set_size"] == 3
    assert 0.02 <= values["seconds"] < 5
    assert values["joules"] is None
    assert "no RAPL counters" in values["energy_source"]


def test_a_round_keeps_the_time_that_it_measured_itself() -> None:
    made = stages._metered(lambda _: Made(values={"seconds": 77.0}))(_running("round"))
    assert made.values["seconds"] == 77.0


def test_every_stage_but_the_ticket_is_metered() -> None:
    metered = {
        kind for kind, make in stages.RUN.items() if make.__qualname__.startswith("_metered")
    }
    assert metered == set(stages.RUN) - {"ticket"}


@pytest.mark.parametrize(("kind", "share"), [("round", 0.25), ("dense", 0.75), ("reduce", 0.125)])
def test_a_stage_is_charged_for_what_it_was_given(
    kind: str, share: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    # 8 cores: a round has 2 of them, the dense run 3 workers of 2, all else one.
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    for name, text in (("name", "package-0"), ("energy_uj", "0"), ("max_energy_range_uj", "9")):
        (zone / name).write_text(text)
    monkeypatch.setattr(energy, "RaplCounter", lambda: RaplCounter(tmp_path))
    meter = stage_meter(kind, _running(kind).context.resources)
    (zone / "energy_uj").write_text("8000000")
    assert meter.stop().joules == pytest.approx(8 * share)
