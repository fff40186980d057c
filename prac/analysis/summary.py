"""What a pipeline prints last, for programs. A replay prints it too, and needs no torch for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from prac.analysis.over_searches import over_searches
from prac.analysis.results import Results


def summary_json(results: Results, mlflow: Mapping[str, str]) -> dict[str, Any]:
    """What a pipeline prints last: its MLflow link, and every search's rounds and savings."""
    searches, seconds = [], []
    seen = dict.fromkeys((row.architecture, row.method) for row in results.rows)
    for architecture, method in seen:
        rows = [r for r in results.rows if (r.architecture, r.method) == (architecture, method)]
        searches.append(
            {
                "architecture": architecture,
                "method": method,
                "rounds": [
                    {
                        "round": row.round,
                        "trained": row.trained,
                        "sparsity": round(row.sparsity, 6),
                        "set_size": row.set_size,
                        "steps": row.steps,
                        "search_steps": row.search_steps,
                        "validation_accuracy": row.validation_accuracy,
                        "test_accuracy": row.test_accuracy,
                        "test_accuracies": list(row.test_accuracies),
                        "test_std": row.test_std,
                        "found_test_accuracy": row.found_test_accuracy,
                        "found_steps": row.found_steps,
                        "as_found": row.as_found,
                    }
                    for row in rows
                ],
                "iterations_saved": rows[-1].steps_saved,
                "rests_on": {
                    "searches": list(rows[-1].borrowed_from),
                    "steps": rows[-1].borrowed_steps,
                },
            }
        )
        seconds.append(
            {
                "architecture": architecture,
                "method": method,
                "to_find": [row.search_seconds for row in rows],
                "saved": rows[-1].seconds_saved,
                "rests_on": rows[-1].borrowed_seconds,
            }
        )
    dense = {name: list(values) for name, values in results.dense_test_accuracies.items()}
    return {
        **mlflow,
        "search_seed": results.seed,
        "over_searches": [_untimed(dataclasses.asdict(each)) for each in over_searches(results)],
        "judging_seeds": list(results.judging_seeds),
        "dense_test_accuracy": results.dense_test_accuracy,
        "dense_test_accuracies": dense,
        "searches": searches,
        # Apart from what is the same in every run.
        "seconds": seconds,
    }


def _untimed(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if "seconds" not in name}
