"""On a cluster a stage is charged for what it was given."""

from __future__ import annotations

from pathlib import Path

import pytest

from prac.config.sections import AugmentConfig
from prac.distributed.context import Context, Resources
from prac.lottery import energy
from prac.lottery.energy import RaplCounter
from prac.lottery.graph import Stage


@pytest.mark.parametrize(("kind", "share"), [("round", 0.25), ("dense", 0.75), ("reduce", 0.125)])
def test_a_stage_is_charged_for_what_it_was_given(
    kind: str, share: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # 8 cores: a round has 2 of them, the dense run 3 workers of 2, all else one.
    monkeypatch.setattr("prac.distributed.context.available_cpus", lambda: 8)
    zone = tmp_path / "intel-rapl:0"
    zone.mkdir()
    for name, text in (("name", "package-0"), ("energy_uj", "0"), ("max_energy_range_uj", "9")):
        (zone / name).write_text(text)
    monkeypatch.setattr(energy, "RaplCounter", lambda: RaplCounter(tmp_path))
    context = Context(
        data="d" * 32,
        augment=AugmentConfig(),
        shared=[],
        desk=None,  # type: ignore[arg-type]  # nobody is told
        resources=Resources(storage=str(tmp_path), workers=3, cpus_per_round=2),
    )
    stage = Stage(
        name=kind,
        kind=kind,
        architecture="",
        method="",
        round_index=0,
        config=None,
        inputs={},
        key="k",
    )
    meter = context.meter(stage)
    (zone / "energy_uj").write_text("8000000")
    assert meter.used().joules == pytest.approx(8 * share)
