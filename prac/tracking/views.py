"""How MLflow's page of tickets opens: the columns worth comparing, and two charts that say most.

MLflow keeps a shared view in a tag of the experiment, as JSON; a link names it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from prac.tracking.mlflow_internals import VIEW_TAG

VIEW = "prac"
_COLUMNS = ("sparsity", "test_accuracy", "set_size", "search_steps", "steps_saved")
_SECTION = "prac-tickets"


def ticket_view() -> dict[str, str]:
    """Tags of the tickets' experiment that hold the shared view."""
    state = {
        "orderByKey": "metrics.`test_accuracy`",
        "orderByAsc": False,
        "selectedColumns": [
            *(f"metrics.`{name}`" for name in _COLUMNS),
            "params.`method`",
        ],
        # The page shows the first ten only, unless it is told otherwise.
        "runsHiddenMode": "SHOW_ALL",
        "compareRunSections": [
            {"uuid": _SECTION, "name": "Tickets", "display": True, "isReordered": False}
        ],
        "compareRunCharts": [
            _scatter("accuracy", x="sparsity", y="test_accuracy"),
            _scatter("cost", x="search_steps", y="test_accuracy"),
            _bars("test_accuracy"),
            _bars("steps_saved"),
        ],
    }
    return {VIEW_TAG + VIEW: json.dumps(state)}


def ticket_page(base: str, experiment: str) -> str:
    """The address of the tickets' page with the shared view; base: of the server."""
    return (
        f"{base.rstrip('/')}/#/experiments/{experiment}/runs"
        f"?viewStateShareKey={VIEW}&workflowType=machine_learning&compareRunsMode=CHART"
    )


def _scatter(name: str, *, x: str, y: str) -> Mapping[str, Any]:
    return {
        **_chart(name, "SCATTER"),
        "xaxis": {"key": x, "type": "METRIC"},
        "yaxis": {"key": y, "type": "METRIC"},
    }


def _bars(metric: str) -> Mapping[str, Any]:
    return {**_chart(metric, "BAR"), "metricKey": metric}


def _chart(name: str, kind: str) -> dict[str, Any]:
    return {
        "uuid": f"{_SECTION}-{name}",
        "type": kind,
        "runsCountToCompare": 100,
        "metricSectionId": _SECTION,
        "deleted": False,
        "isGenerated": False,
    }
