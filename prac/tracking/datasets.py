"""What a ticket was made from, as MLflow's inputs: data set and PrAC set, by fingerprint."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prac.lottery.outputs import TicketFacts

# MLflow takes a second to import: whoever only names a store, as a plan does, needs none of it.
if TYPE_CHECKING:
    from prac.tracking.connection import Connection

_DIGEST_LIMIT = 36


@dataclass(frozen=True, kw_only=True)
class DataInput:
    """A data set as a run's page shows it.

    context: what it was used for. digest: of its content, at most 36 characters. profile: counts.
    """

    name: str
    context: str
    digest: str
    profile: Mapping[str, Any]
    columns: Mapping[str, str]

    @classmethod
    def of_facts(cls, facts: TicketFacts) -> DataInput:
        """The whole data set: trained on by the dense run and by the judgement."""
        shape = "x".join(map(str, facts.image_shape))
        return cls(
            name=facts.data,
            context="training",
            digest=facts.data_fingerprint[:_DIGEST_LIMIT],
            profile={**facts.splits, "classes": facts.num_classes},
            columns={"sample_id": "int32", "image": f"uint8 {shape}", "label": "int64"},
        )

    @classmethod
    def of_set(cls, facts: TicketFacts) -> DataInput:
        """The samples chosen for training under this mask: what the search goes on with."""
        share = facts.set_size / facts.num_training
        return cls(
            name=f"{facts.data}, set of {facts.set_size}",
            context="chosen for this mask",
            digest=facts.set_digest[:_DIGEST_LIMIT],
            profile={"samples": facts.set_size, "share_of_training": round(share, 6)},
            columns={"sample_id": "int32", "reasons": "bool"},
        )


def log_inputs(store: Connection, run_id: str, inputs: Iterable[DataInput]) -> None:
    """Log data sets as inputs of a run."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    entities = [
        DatasetInput(
            Dataset(
                name=data.name,
                digest=data.digest,
                source_type="prac",
                source=json.dumps({"fingerprint": data.digest}),
                schema=json.dumps({"mlflow_colspec": _column_specs(data.columns)}),
                profile=json.dumps(dict(data.profile)),
            ),
            tags=[InputTag("mlflow.data.context", data.context)],
        )
        for data in inputs
    ]
    if entities:
        store.client.log_inputs(run_id, entities)


def _column_specs(columns: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "type": kind, "required": True} for name, kind in columns.items()]
