"""Whether tasks find room on the nodes of a cluster, counted by hand."""

from __future__ import annotations

import pytest

from prac.distributed.at_work import check_placed
from prac.distributed.context import Resources
from prac.errors import ConfigError

CPUS = {"CPU": 8.0}
GPU = {"CPU": 2.0, "GPU": 1.0}
TWO = {"CPU": 8.0, "GPU": 2.0}


@pytest.mark.parametrize(
    ("nodes", "asked"),
    [
        ([CPUS], {"workers": 8}),
        ([CPUS], {"workers": 2, "cpus_per_round": 4}),
        ([CPUS, GPU], {"gpus_per_round": 1, "gpus_per_worker": 1}),
        ([GPU], {"workers": 2, "gpus_per_worker": 0.5}),
        ([GPU, GPU], {"workers": 2, "gpus_per_worker": 1}),
        ([TWO], {"workers": 4, "gpus_per_worker": 0.5, "gpus_per_round": 2}),
        ([GPU], {"workers": 2, "min_workers": 1, "gpus_per_worker": 1}),
    ],
)
def test_what_fits(nodes, asked) -> None:
    check_placed(Resources(storage="s", **{"workers": 1, **asked}), nodes)


@pytest.mark.parametrize(
    ("nodes", "asked", "said"),
    [
        ([CPUS], {"gpus_per_round": 0.5}, "a round doesn't fit .* lower --gpus-per-round or"),
        ([GPU], {"gpus_per_round": 2}, r"asks for 1 CPUs and 2 GPUs .*\(1 of 2 CPUs and"),
        # Each is there, and not on one node.
        ([CPUS, GPU], {"cpus_per_round": 4, "gpus_per_round": 1}, "a round doesn't fit"),
        ([GPU], {"workers": 2, "gpus_per_worker": 0.6}, "2 workers .* room for 1; lower --workers"),
        ([CPUS, CPUS], {"workers": 3, "cpus_per_round": 5}, "3 workers .*2 of 8 CPUs.* room for 2"),
        ([GPU], {"workers": 2, "gpus_per_worker": 1}, "--workers or --gpus-per-worker"),
    ],
)
def test_what_doesn_t_is_one_line(nodes, asked, said) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        check_placed(Resources(storage="s", **{"workers": 1, **asked}), nodes)
    assert "\n" not in str(raised.value)
