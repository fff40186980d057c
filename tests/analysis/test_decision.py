"""The four verdicts by hand-made studies; how often `paid` is false, by simulation."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from prac.analysis.decision import Decision, Measured, decide
from prac.errors import ConfigError

CONTROL = [0.780, 0.784, 0.778, 0.782, 0.781]
VANILLA = [0.800, 0.803, 0.799, 0.801, 0.800]
LEVEL = [0.801, 0.803, 0.798, 0.802, 0.800]  # with vanilla, 2 points above the control


def decision(
    ours: list[float],
    control: list[float | None] | list[float] | None = None,
    vanilla: list[float] | None = None,
    steps_saved: float | None = 0.3,
) -> Decision:
    measured = Measured(ours=ours, control=control, vanilla=vanilla, steps_saved=steps_saved)
    return decide({"prac": measured})["prac"]


def test_paid() -> None:
    found = decision(LEVEL, CONTROL, VANILLA)
    assert (found.verdict, found.grounds) == ("paid", ("control", "vanilla", "steps"))
    assert (found.beats_control, found.keeps_accuracy) == ("yes", "yes")
    assert found.to_control is not None
    assert found.to_control.mean == pytest.approx(0.0198)
    assert found.p_value is not None
    assert found.p_value < 0.01
    assert found.searches_needed is None


def test_a_control_as_good_did_not_pay() -> None:
    found = decision(LEVEL, [0.801, 0.802, 0.799, 0.801, 0.800], VANILLA)
    assert (found.verdict, found.grounds) == ("did not pay", ("control",))
    assert found.beats_control == "undecided"
    assert found.searches_needed is None


def test_a_better_control_did_not_pay() -> None:
    found = decision(
        CONTROL, LEVEL, [a - d for a, d in zip(CONTROL, (1e-4, 0, 0, 0, 0), strict=True)]
    )
    assert found.keeps_accuracy == "yes"
    assert (found.verdict, found.beats_control) == ("did not pay", "no")
    assert found.p_value == 1


def test_a_loss_to_vanilla_did_not_pay() -> None:
    found = decision(LEVEL, CONTROL, [value + 0.02 for value in VANILLA])
    assert (found.verdict, found.grounds) == ("did not pay", ("vanilla",))
    assert (found.beats_control, found.keeps_accuracy) == ("yes", "no")


@pytest.mark.parametrize("steps_saved", [0.0, -0.2])
def test_no_saving_did_not_pay(steps_saved: float) -> None:
    found = decision(LEVEL, CONTROL, VANILLA, steps_saved)
    assert (found.verdict, found.grounds) == ("did not pay", ("steps",))


def test_an_advantage_below_the_margin_that_is_shown_paid() -> None:
    """0.2 points, the same in every search but for 0.01: small and certain."""
    control = [a - 0.002 + d for a, d in zip(LEVEL, (1e-4, -1e-4, 0, 1e-4, -1e-4), strict=True)]
    assert decision(LEVEL, control, VANILLA).verdict == "paid"


def test_undecided_says_how_many_more_searches() -> None:
    """Differences to the control: deviation 1 point. Cohen: half a point is 0.5 deviations: 34."""
    steps = [-0.012, 0.003, 0.012, -0.003]
    scale = 0.01 / np.std(steps, ddof=1)
    ours = [0.800, 0.801, 0.799, 0.802]
    control = [a - 0.004 + scale * d for a, d in zip(ours, steps, strict=True)]
    vanilla = [a + d for a, d in zip(ours, (1e-4, -1e-4, 0, 0), strict=True)]
    found = decision(ours, control, vanilla)
    assert (found.verdict, found.grounds) == ("undecided", ("control",))
    assert found.searches_needed == 34 - 4
    assert found.detectable is not None
    assert found.detectable > 0.015


def test_open_towards_vanilla_is_planned_one_sided() -> None:
    """Deviation 1 point again, one-sided 5 %: 27 searches."""
    steps = [-0.012, 0.003, 0.012, -0.003]
    scale = 0.01 / np.std(steps, ddof=1)
    ours = [0.800, 0.801, 0.799, 0.802]
    vanilla = [a + scale * d for a, d in zip(ours, steps, strict=True)]
    control = [a - 0.03 + d for a, d in zip(ours, (1e-3, -1e-3, 0, 0), strict=True)]
    found = decision(ours, control, vanilla)
    assert (found.verdict, found.grounds) == ("undecided", ("vanilla",))
    assert found.searches_needed == 27 - 4


def test_who_has_run_the_plan_gets_the_plan_for_half_the_difference() -> None:
    """40 searches, deviation 1 point, mean on the fence: for 0.25 points Cohen asks 128."""
    wave = [(-1) ** i for i in range(40)]
    scale = 0.01 / np.std(wave, ddof=1)
    ours = [0.8 + 0.0028 + scale * d for d in wave]
    found = decision(ours, [0.8] * 40, [0.79 + 0.001 * d for d in wave])
    assert (found.verdict, found.grounds) == ("undecided", ("control",))
    assert found.searches_needed == 128 - 40


def test_one_search_with_a_control_is_undecided() -> None:
    found = decision([0.80], [0.78], [0.80])
    assert (found.verdict, found.grounds) == ("undecided", ("control", "vanilla"))
    assert found.to_control is None
    assert found.to_vanilla is None
    assert found.detectable is None
    assert found.searches_needed is None


@pytest.mark.parametrize("control", [None, [], [None] * 5])
def test_without_a_control_it_is_not_measured(control: list[float | None] | None) -> None:
    ours = [0.5] * 5 if control != [] else []
    vanilla = VANILLA if control != [] else []
    found = decision(ours, control, vanilla)
    assert found.verdict == "not measured"
    assert "control" in found.grounds
    assert found.beats_control is None
    assert found.p_value is None


def test_without_vanilla_it_is_not_measured_unless_the_control_is_as_good() -> None:
    found = decision(LEVEL, CONTROL, None, None)
    assert (found.verdict, found.grounds) == ("not measured", ("vanilla", "steps"))
    assert decision(CONTROL, LEVEL, None, None).verdict == "did not pay"


def test_several_methods_are_corrected_and_those_without_a_control_do_not_count() -> None:
    ours, vanilla = [0.801, 0.803, 0.798], VANILLA[:3]
    good = Measured(ours=ours, control=[0.780, 0.784, 0.770], vanilla=vanilla, steps_saved=0.3)
    bare = Measured(ours=ours, control=None, vanilla=vanilla, steps_saved=0.3)
    alone = decide({"a": good})["a"]
    assert alone.verdict == "paid"
    assert alone.p_value is not None
    beside_bare = decide({"a": good, "b": bare})["a"]
    assert beside_bare == alone
    null = Measured(ours=ours, control=[0.802, 0.801, 0.799], vanilla=vanilla, steps_saved=0.3)
    many = decide({"a": good, **{f"n{i}": null for i in range(11)}})["a"]
    assert many.p_value == pytest.approx(min(1, 12 * alone.p_value))
    assert many.verdict == "undecided"


def test_the_order_of_methods_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    study = {
        f"m{i}": Measured(
            ours=rng.normal(0.80 + 0.004 * i, 0.005, 4).tolist(),
            control=rng.normal(0.79, 0.005, 4).tolist(),
            vanilla=rng.normal(0.80, 0.005, 4).tolist() if i != 3 else None,
            steps_saved=0.3 - 0.05 * i,
        )
        for i in range(8)
    }
    found = decide(study)
    assert len({d.verdict for d in found.values()}) > 1
    for seed in range(5):
        names = list(study)
        random.Random(seed).shuffle(names)
        assert decide({name: study[name] for name in names}) == found
        searches = [2, 0, 3, 1]
        turned = {
            name: Measured(
                ours=[m.ours[i] for i in searches],
                control=[m.control[i] for i in searches] if m.control else None,
                vanilla=[m.vanilla[i] for i in searches] if m.vanilla else None,
                steps_saved=m.steps_saved,
            )
            for name, m in study.items()
        }
        assert [d.verdict for d in decide(turned).values()] == [d.verdict for d in found.values()]


def test_a_margin_below_0_is_refused() -> None:
    study = {"prac": Measured(ours=LEVEL, control=CONTROL, vanilla=VANILLA, steps_saved=0.3)}
    with pytest.raises(ConfigError, match=r"margin -0\.01 is not above 0"):
        decide(study, margin=-0.01)


# --- error rates


def _limit(plays: int) -> float:
    return 0.05 + 4 * math.sqrt(0.05 * 0.95 / plays)


@pytest.mark.parametrize("n", [2, 3, 5, 8])
@pytest.mark.parametrize(
    ("above_control", "above_vanilla"),
    [(0.0, 0.0), (0.0, 0.05), (0.05, -0.005)],  # paid would be false in all three
)
def test_one_method_is_falsely_paid_in_at_most_5_percent(
    n: int, above_control: float, above_vanilla: float
) -> None:
    plays = 1500
    rng, false = np.random.default_rng(n), 0
    for _ in range(plays):
        ours = rng.normal(0.8, 0.003, n)
        control = rng.normal(0.8 - above_control, 0.003, n).tolist()
        vanilla = rng.normal(0.8 - above_vanilla, 0.003, n).tolist()
        false += decision(ours.tolist(), control, vanilla).verdict == "paid"
    assert false / plays <= _limit(plays)


@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_of_a_dozen_any_is_falsely_paid_in_at_most_5_percent(n: int) -> None:
    """Half are like the control and like vanilla, half beat it and truly lose the whole margin."""
    plays = 600
    rng, false = np.random.default_rng(n), 0
    for _ in range(plays):
        null, vanilla = rng.normal(0.8, 0.004, n).tolist(), rng.normal(0.8, 0.004, n).tolist()
        low, high = rng.normal(0.7, 0.004, n).tolist(), rng.normal(0.805, 0.004, n).tolist()
        study = {
            f"m{i}": Measured(
                ours=rng.normal(0.8, 0.004, n).tolist(),
                control=(null, low)[i % 2],
                vanilla=(vanilla, high)[i % 2],
                steps_saved=0.3,
            )
            for i in range(12)
        }
        false += any(d.verdict == "paid" for d in decide(study).values())
    assert false / plays <= _limit(plays)


@pytest.mark.parametrize("n", [3, 5, 8])
@pytest.mark.parametrize(("above_control", "above_vanilla"), [(0.005, 0.05), (0.05, -0.005)])
def test_did_not_pay_is_false_in_at_most_5_percent_for_each_reason(
    n: int, above_control: float, above_vanilla: float
) -> None:
    plays = 1500
    rng, false = np.random.default_rng(n), 0
    for _ in range(plays):
        control = rng.normal(0.8 - above_control, 0.003, n).tolist()
        vanilla = rng.normal(0.8 - above_vanilla, 0.003, n).tolist()
        found = decision(rng.normal(0.8, 0.003, n).tolist(), control, vanilla)
        false += found.verdict == "did not pay"
    assert false / plays <= _limit(plays)


def test_the_planned_number_of_searches_decides_in_80_percent() -> None:
    """A truth of no advantage or of the whole margin, told apart by 34 searches."""
    plays, n = 400, 34
    rng = np.random.default_rng(1)
    for advantage, verdict in ((0.0, "did not pay"), (0.005, "paid")):
        found = []
        for _ in range(plays):
            differences = rng.normal(advantage, 0.01, n)
            vanilla = rng.normal(0.8, 1e-4, n).tolist()
            found.append(decision([0.8] * n, (0.8 - differences).tolist(), vanilla).verdict)
        assert found.count(verdict) / plays >= 0.8 - 4 * math.sqrt(0.16 / plays)
