"""Easy samples drawn beside critical ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prac.config.recipes import digits
from prac.config.sections import SearchConfig, SelectConfig
from prac.errors import ConfigError, EmptySetError
from prac.selection.easy import with_easy
from prac.selection.prac_set import PracSet, Reason

# Rows 3 to 22: ten of class 0, six of class 1, four of class 2.
IDS = np.arange(3, 23, dtype=np.int32)
LABELS = np.repeat([0, 1, 2], [10, 6, 4])


def critical(*ids: int) -> PracSet:
    return PracSet.from_reasons({Reason.FORGOTTEN: np.array(ids, np.int32)})


def mixed(chosen: PracSet | None, share: float, seed: int = 0, round_index: int = 1) -> PracSet:
    return with_easy(
        chosen, share, sample_ids=IDS, labels=LABELS, seed=seed, round_index=round_index
    )


def counts(ids: np.ndarray) -> list[int]:
    return np.bincount(LABELS[ids - 3], minlength=3).tolist()


def test_half_of_each_class_by_hand() -> None:
    # Outside: 3 to 10 (eight of class 0), 13 to 16 (four of class 1), 19 to 22 (four of class 2).
    chosen = critical(11, 12, 17, 18)
    made = mixed(chosen, 0.5)
    assert counts(made.having(Reason.EASY)) == [4, 2, 2]
    assert made.having(Reason.FORGOTTEN).tolist() == [11, 12, 17, 18]
    assert not set(made.having(Reason.EASY)) & {11, 12, 17, 18}
    assert len(made) == 12


def test_where_nothing_is_hard_the_easy_samples_are_the_set() -> None:
    made = mixed(None, 0.5)
    assert counts(made.having(Reason.EASY)) == [5, 3, 2]
    assert len(made) == 10
    with pytest.raises(EmptySetError, match=r"set select\.easy=0\.5, which trains on"):
        mixed(None, 0.001)


def test_shares_that_do_not_divide_go_to_the_largest_remainders() -> None:
    # Outside 10, 6 and 3: 0.3 of each is 3, 1.8 and 0.9, together 5.7, so 6.
    assert counts(mixed(critical(22), 0.3).having(Reason.EASY)) == [3, 2, 1]


def test_every_round_and_seed_draws_anew_and_the_same_again() -> None:
    chosen = critical(3)
    once = mixed(chosen, 0.5)
    assert mixed(chosen, 0.5) == once
    assert mixed(chosen, 0.5, round_index=2) != once
    assert mixed(chosen, 0.5, seed=1) != once


def test_every_sample_outside_is_drawn_alike_often() -> None:
    chosen, drawn = critical(3, 13, 19), np.zeros(20, int)
    for seed in range(3000):
        drawn[mixed(chosen, 0.5, seed=seed).having(Reason.EASY) - 3] += 1
    outside = np.ones(20, bool)
    outside[[0, 10, 16]] = False
    assert not drawn[~outside].any()
    # Of 9, 5 and 3: 4.5, 2.5 and 1.5, together 8.5, so 8 (to even): 4, 2, 1 and one of the halves,
    # the first class's. Five standard deviations of a binomial share.
    expected = np.repeat([5 / 9, 2 / 5, 1 / 3], [10, 6, 4])[outside]
    spread = np.sqrt(expected * (1 - expected) / 3000)
    assert np.all(np.abs(drawn[outside] / 3000 - expected) < 5 * spread)


@given(st.sets(st.integers(3, 22), min_size=1), st.floats(0, 0.99))
@settings(max_examples=80, deadline=None)
def test_exactly_the_share_of_what_is_outside_and_no_reason_lost(ids, share) -> None:
    chosen = critical(*sorted(ids))
    made = mixed(chosen, share)
    outside = 20 - len(ids)
    easy = made.having(Reason.EASY)
    assert len(easy) == round(share * outside)
    assert made.having(Reason.FORGOTTEN).tolist() == sorted(ids)
    assert np.array_equal(made.sample_ids, np.union1d(sorted(ids), easy))
    per_class = np.array(counts(IDS)) - counts(chosen.sample_ids)
    assert np.all(np.abs(np.array(counts(easy)) - share * per_class) < 1)


def test_late_threshold_holds_from_its_round_on() -> None:
    select = SelectConfig(threshold=1, late_threshold=4, late_from=3)
    assert [select.threshold_for(k) for k in (1, 2, 3, 4)] == [1, 1, 4, 4]
    assert SelectConfig(threshold=2).threshold_for(9) == 2


@pytest.mark.parametrize(
    ("field", "value"), [("easy", 1.0), ("easy", -0.1), ("late_threshold", -1), ("late_from", 0)]
)
def test_values_that_are_not_allowed(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"select\.{field} .* allowed"):
        SelectConfig(**{field: value})


@pytest.mark.parametrize(
    ("select", "rounds", "said"),
    [
        (SelectConfig(late_threshold=2, late_from=4), 3, r"late_from 4 .* allowed: 1 to 3"),
        (SelectConfig(score="el2n", fraction=0.5, easy=0.1), 3, r"select\.score is el2n; allowed"),
        (
            SelectConfig(score="random", fraction=0.5, late_threshold=1),
            3,
            r"select\.score is random",
        ),
    ],
)
def test_what_would_do_nothing_is_refused(select: SelectConfig, rounds: int, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        digits().replace(select=select, search=SearchConfig(rounds=rounds))
