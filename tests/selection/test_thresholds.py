"""What another threshold would select, against a small table drawn by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from prac.config.sections import SelectConfig
from prac.errors import ConfigError
from prac.selection.prac_set import select_critical
from prac.selection.thresholds import parse_thresholds, what_if

IDS = np.array([0, 1, 2, 3, 5], np.int32)
LABELS = np.array([0, 0, 1, 1, 9, 1])
STATISTICS = pa.table(
    {
        "sample_id": pa.array(IDS, pa.int32()),
        "forgotten": pa.array([0, 1, 3, 0, 2], pa.int32()),
        "first_learned": pa.array([0, 0, 1, None, 0], pa.int16()),
    }
)
DENSE = np.array([0, 0, 1, 1, 1])
PRUNED = np.array([1, 0, 0, 1, 1])


def rows(thresholds: tuple[int, ...] = (0, 1, 2, 9), **more: object) -> list[tuple[int, ...]]:
    found = what_if(STATISTICS, thresholds, labels=LABELS, num_classes=2, training_ids=IDS, **more)
    return [(r.set_size, r.cet_size, r.never_learned, r.cep_size, r.overlap) for r in found]


def test_after_the_dense_run_there_is_no_cep() -> None:
    assert rows() == [(4, 4, 1, 0, 0), (3, 3, 1, 0, 0), (2, 2, 1, 0, 0), (1, 1, 1, 0, 0)]


def test_later_rounds_add_what_the_models_disagree_on() -> None:
    assert rows(dense=DENSE, pruned=PRUNED) == [
        (5, 4, 1, 2, 1),
        (4, 3, 1, 2, 1),
        (3, 2, 1, 2, 1),
        (3, 1, 1, 2, 0),
    ]


def test_shares_are_of_the_training_rows_and_of_the_set() -> None:
    found = what_if(STATISTICS, (0, 9), labels=LABELS, num_classes=2, training_ids=IDS)
    assert found[0].share == pytest.approx(4 / 5)
    assert found[0].class_shares == pytest.approx((1 / 4, 3 / 4))
    assert found[1].class_shares == (0.0, 1.0)


def test_an_empty_set_is_a_row_not_an_error() -> None:
    calm = STATISTICS.set_column(2, "first_learned", pa.array([0] * 5, pa.int16()))
    row = what_if(calm, (5,), labels=LABELS, num_classes=2, training_ids=IDS)[0]
    assert (row.set_size, row.share, row.class_shares) == (0, 0.0, (0.0, 0.0))


@pytest.mark.parametrize("threshold", [0, 1, 2])
def test_it_is_what_the_selection_makes(threshold: int) -> None:
    select = SelectConfig(threshold=threshold)
    made = select_critical(STATISTICS, select, dense=DENSE, pruned=PRUNED, sample_ids=IDS)
    assert rows((threshold,), dense=DENSE, pruned=PRUNED)[0][0] == len(made)


def test_the_rest_of_the_selection_counts() -> None:
    assert rows((0,), select=SelectConfig(cet=False), dense=DENSE, pruned=PRUNED)[0][0] == 2


def test_thresholds_are_read_once_each_and_rising() -> None:
    assert parse_thresholds("4, 0,4") == (0, 4)
    for text in ("", "a", "-1,2", "1.5"):
        with pytest.raises(ConfigError, match="allowed"):
            parse_thresholds(text)
