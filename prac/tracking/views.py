"""How MLflow's page of tickets opens: the sparsest first, the columns worth comparing, and charts
for each network.

MLflow keeps a shared view in a tag of the experiment, as JSON; a link names it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from prac.tracking.mlflow_internals import VIEW_TAG

VIEW = "prac"
PERCENT, POINTS = "test_percent", "points_above_dense"
"""In percent, because charts show two decimals: fractions would all be 0.99 or 1.00."""
_COLUMNS = ("sparsity", "test_accuracy", "set_size", "search_steps", "steps_saved")
_ROOM = 5000
"""Characters of an experiment's tag: 20,000 in today's MLflow, 5,000 in earlier ones."""


def metric_of(model: str, name: str) -> str:
    """A metric of the tickets of one registered model: a chart draws all runs that have its
    metrics, so that a chart of one network needs names of its own."""
    return f"{model.removeprefix('prac-')}/{name}"


def ticket_view(models: Mapping[str, bool] | None = None) -> dict[str, str]:
    """Tags of the tickets' experiment that hold the shared view.

    models: the registered models with judged tickets, the newest first, and whether these are of
    several sparsities. MLflow draws the axis of one alone from -0.2 to 1.8. As many have charts as
    fit into a tag.
    """
    view = _view([], [])
    sections: list[Mapping[str, Any]] = []
    charts: list[Mapping[str, Any]] = []
    for model, several in (models or {}).items():
        accuracy = metric_of(model, PERCENT)
        # MLflow puts charts of its own beside them, by what stands before the slash.
        name = accuracy.partition("/")[0]
        sections.append({"uuid": model, "name": name, "display": True})
        charts += [
            _scatter(model, x="search_steps", y=accuracy),
            *([_scatter(model, x="sparsity", y=accuracy)] if several else []),
            {**_chart(model, "points", "BAR"), "metricKey": metric_of(model, POINTS)},
        ]
        longer = _view(sections, charts)
        if len(longer) > _ROOM:
            break
        view = longer
    return {VIEW_TAG + VIEW: view}


def _view(sections: Sequence[Mapping[str, Any]], charts: Sequence[Mapping[str, Any]]) -> str:
    state = {
        # Tickets of one network stand together by it, method beside method, the judged ones first.
        "orderByKey": "metrics.`sparsity`",
        "orderByAsc": False,
        "selectedColumns": [*(f"metrics.`{name}`" for name in _COLUMNS), "params.`method`"],
        # The page shows the first ten only, unless it is told otherwise.
        "runsHiddenMode": "SHOW_ALL",
        "compareRunSections": sections,
        "compareRunCharts": charts,
    }
    return json.dumps(state, separators=(",", ":"))


def ticket_page(base: str, experiment: str) -> str:
    """The address of the tickets' page with the shared view, a line of a terminal long: its charts
    are a click away. base: of the server."""
    return f"{base.rstrip('/')}/#/experiments/{experiment}/runs?viewStateShareKey={VIEW}"


def _scatter(model: str, *, x: str, y: str) -> Mapping[str, Any]:
    return {
        **_chart(model, x, "SCATTER"),
        "xaxis": {"key": x, "type": "METRIC"},
        "yaxis": {"key": y, "type": "METRIC"},
    }


def _chart(model: str, name: str, kind: str) -> dict[str, Any]:
    return {"uuid": f"{model}-{name}", "type": kind, "metricSectionId": model}
