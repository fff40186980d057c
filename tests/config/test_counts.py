import pytest

from prac.config.counts import num_batches


@pytest.mark.parametrize(
    ("samples", "batch_size", "steps"),
    [(1, 128, 1), (128, 128, 1), (129, 128, 2), (45_000, 128, 352), (0, 8, 0)],
)
def test_the_last_batch_counts(samples: int, batch_size: int, steps: int) -> None:
    assert num_batches(samples, batch_size) == steps
