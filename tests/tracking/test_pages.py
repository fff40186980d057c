"""Pages against a search that the test plays, and against MLflow's own with more than one."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest
from mlflow.store.entities import PagedList

from prac.tracking import pages as module
from prac.tracking.pages import pages


class Search:
    """Gives numbers, `size` a page, and remembers what it was asked."""

    def __init__(self, count: int, size: int) -> None:
        self.numbers, self.size = list(range(count)), size
        self.asked: list[tuple[str, int, str | None]] = []

    def __call__(
        self, wanted: str, max_results: int, page_token: str | None = None
    ) -> PagedList[int]:
        self.asked.append((wanted, max_results, page_token))
        start = int(page_token or 0)
        end = start + self.size
        token = str(end) if end < len(self.numbers) else None
        return PagedList(self.numbers[start:end], token)


@pytest.mark.parametrize(("count", "asked"), [(0, 1), (3, 1), (4, 1), (5, 2), (12, 3), (13, 4)])
def test_all_pages_in_order_and_none_twice(count: int, asked: int) -> None:
    search = Search(count, 4)
    assert pages(search, "these") == list(range(count))
    assert len(search.asked) == asked
    assert {wanted for wanted, _, _ in search.asked} == {"these"}


def test_mlflow_gives_the_rest_on_further_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.create_experiment("some")
    made = {client.create_run(experiment).info.run_id for _ in range(5)}
    assert {run.info.run_id for run in pages(client.search_runs, [experiment])} == made
    for index in range(3):
        client.create_registered_model(f"prac-{index}")
    client.create_registered_model("another")
    found = pages(client.search_registered_models, "name LIKE 'prac-%'")
    assert [model.name for model in found] == ["prac-0", "prac-1", "prac-2"]
