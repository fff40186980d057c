"""The end of the dense stage: where its predictions are made."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from prac.distributed import dense
from prac.distributed.context import Resources


class PlayedRay:
    """Runs a task here and keeps what it asked for."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def remote(self, function: Any) -> Any:
        def options(**asked: Any) -> Any:
            self.asked.append(asked)
            return SimpleNamespace(remote=function)

        return SimpleNamespace(options=options)

    def get(self, answer: Any) -> Any:
        return answer


@pytest.mark.parametrize(("gpus", "tasks"), [(0, 0), (0.5, 1)])
def test_an_accelerator_is_asked_for_where_one_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, gpus: float, tasks: int
) -> None:
    played, used = PlayedRay(), []
    context = SimpleNamespace(
        resources=Resources(
            storage=str(tmp_path), workers=2, cpus_per_round=1, gpus_per_round=gpus
        ),
        images=lambda gpus: used.append(gpus),
        work=lambda key: tmp_path / key,
    )
    monkeypatch.setattr(dense, "ray", played)
    monkeypatch.setattr(dense, "use_threads", lambda count: None)
    monkeypatch.setattr(dense, "outcome_of_workers", lambda task, images, work, scratch: work.name)
    task: Any = SimpleNamespace(run="key")
    assert dense.take_outcome(task, context, "dense:resnet8") == "key"  # type: ignore[arg-type]
    assert used == [gpus]
    assert [asked["num_gpus"] for asked in played.asked] == [gpus] * tasks
    assert all(asked["num_cpus"] == 1 for asked in played.asked)
