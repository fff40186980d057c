"""A finished ticket whose registered model was deleted."""

from __future__ import annotations

from prac.lottery.outputs import TicketFacts
from prac.lottery.store import DamagedArtifact, Finished
from prac.tracking.store import MlflowStore
from prac.tracking.ticket_run import charted_metrics, registered_tags
from prac.tracking.tickets import model_name, register


def register_again(store: MlflowStore, finished: Finished) -> bool:
    """Register a finished ticket whose registered model was deleted, as it was; False where it was
    never registered, or can't be read, so that it will be made again."""
    with store.reached():
        run = store.client.get_run(finished.run_id)
        tags = run.data.tags
        if (before := tags.get("prac.ticket")) is None:
            return False
        try:
            facts = store.read(finished).known(TicketFacts)
        except DamagedArtifact:
            return False
        note = tags.get("mlflow.note.content", "")
        register(
            store,
            model_name(facts.data, facts.architecture),
            finished.key,
            lambda where: note.replace(before, where),
            registered_tags(facts),
            data=tags.get("prac.data", ""),
            charted=charted_metrics(facts),
        )(finished.run_id, run.info.artifact_uri)
    return True
