"""A sweep's trials in a store that others write to."""

from __future__ import annotations

import pytest

from prac.errors import StoreError
from prac.sweep.space import Axis, Space
from prac.tracking.store import MlflowStore
from prac.tracking.sweeps import SweepLog

SPACE = Space(axes=(Axis(field="select.threshold", values=(0, 1)),))


def _begun(store: MlflowStore, **tags: str) -> SweepLog:
    """A sweep of two trials, the second's tags written over."""
    log = SweepLog(store, "s1", "d1")
    for number, threshold in enumerate((0, 1), 1):
        values = {"select.threshold": threshold}
        log.begin(number, f"select.threshold={threshold}", values, {})
    for name, value in tags.items():
        store.client.set_tag(log._begun["select.threshold=1"].run_id, name.replace("_", "."), value)
    return SweepLog(store, "s1", "d1")


def test_trials_go_on_in_their_order(store: MlflowStore) -> None:
    assert _begun(store).started(SPACE.holds) == [{"select.threshold": t} for t in (0, 1)]


@pytest.mark.parametrize(
    ("tag", "value", "told"),
    [
        ("prac_trial_number", "two", "no strict JSON"),
        ("prac_trial_number", "-1", "prac.trial.number"),
        ("prac_trial_number", "9" * 400, "a number of 400 digits"),
        ("prac_trial_values", "{", "no strict JSON"),
        ("prac_trial_values", "[]", "prac.trial.values"),
        ("prac_trial_values", '{"a": [1]}', "prac.trial.values.a"),
        ("prac_trial_values", '{"select.threshold": NaN}', "NaN is no finite number"),
        ("prac_trial_values", '{"select.threshold": 7}', "which this command never tries"),
        ("prac_trial_values", '{"data.source": "m:f"}', "which this command never tries"),
        ("prac_trial_values", "{}", "which this command never tries"),
    ],
)
def test_a_trial_that_others_wrote_is_refused(
    store: MlflowStore, tag: str, value: str, told: str
) -> None:
    with pytest.raises(StoreError) as info:
        _begun(store, **{tag: value}).started(SPACE.holds)
    assert told in str(info.value)
    assert "mlflow runs delete --run-id" in str(info.value)
    assert "\n" not in str(info.value)
