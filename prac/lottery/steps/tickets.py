"""The stage that binds a ticket: mask, rewind weights and lineage together."""

from __future__ import annotations

import dataclasses
from typing import Any

from prac.lottery.env import Work
from prac.lottery.outputs import (
    BEST,
    NEXT_MASK,
    SET,
    TICKET,
    TRAINED,
    File,
    JudgeFacts,
    Made,
    SetFacts,
    TicketFacts,
    starting_weights,
)
from prac.lottery.stage_config import TicketStageConfig
from prac.models import build_model
from prac.models.state import tied_names
from prac.ticket.cost import ticket_cost
from prac.ticket.format import Ticket
from prac.training.made_by import together


def ticket_stage(
    config: TicketStageConfig,
    work: Work,
    *,
    mask: Made,
    rewind: Made,
    samples: Made | None = None,
    size: Made | None = None,
    judge: Made | None = None,
    dense_judge: Made | None = None,
    found: Made | None = None,
    **trainings: Made,
) -> Made:
    """The ticket with mask m_k.

    mask, rewind: made its parts. samples: D_k, the set chosen for training under m_k, with which
    the search goes on, if it does; size: the set whose size that has. judge: trained it;
    dense_judge: the dense network. found: tested what the search's own training under this mask
    left, which is `found_in` of the trainings; the others are all that were needed to find it.
    """
    found_in = trainings.pop("found_in", None)
    dataset = work.env.dataset()
    alive = mask[NEXT_MASK]
    judged = None if judge is None else judge.known(JudgeFacts)
    dense = None if dense_judge is None else dense_judge.known(JudgeFacts)
    own_set = samples if samples is not None else size
    chosen = None if own_set is None else own_set.known(SetFacts)
    steps = sum(training.cost.steps for training in trainings.values())
    model = build_model(
        config.architecture,
        num_classes=dataset.num_classes,
        image_shape=dataset.image_shape,
        seed=0,
    )
    told: dict[str, Any] = {}
    if found is not None and found_in is not None:
        as_found = found.known(JudgeFacts)
        told = {
            "found_test_accuracy": as_found.test_accuracy,
            "found_validation_accuracy": as_found.best_accuracy,
            "found_steps": steps + found_in.cost.steps,
        }
    facts = TicketFacts(
        architecture=config.architecture,
        data=config.data_name,
        method=config.method,
        round=config.round_index,
        sparsity=alive.sparsity,
        weights_alive=alive.num_alive,
        weights=alive.size,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        layers=config.layers,
        set_size=len(dataset.training_ids) if chosen is None else chosen.set_size,
        num_training=len(dataset.training_ids),
        search_steps=steps,
        # Vanilla spends the full budget on each of these rounds.
        steps_saved=1 - steps / (config.budget_steps * config.round_index),
        test_accuracy=None if judged is None else judged.test_accuracy,
        validation_accuracy=None if judged is None else judged.best_accuracy,
        dense_test_accuracy=None if dense is None else dense.test_accuracy,
        rewind=str(config.rewind),
        recipe=config.recipe,
        seed=config.seed,
        image_shape=dataset.image_shape,
        splits=dataset.splits,
        num_classes=dataset.num_classes,
        data_fingerprint=dataset.fingerprint,
        set_digest="" if samples is None or chosen is None else chosen.digest,
        **vars(ticket_cost(model, alive, dataset.image_shape)),
        **told,
    )
    known = dataclasses.asdict(facts)
    judges = [each for each in (judge, dense_judge, found, found_in) if each is not None]
    parts = (*trainings.values(), mask, rewind, *judges)
    lineage = {
        **{n: v for n, v in known.items() if n in told or not n.startswith("found_")},
        "made_by": together(*(part.made_by for part in parts)),
        "class_names": list(dataset.class_names),
        "image_shape": list(dataset.image_shape),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "stage_key": work.run,
        "transfer_from": config.transfer_from,
        "precision": config.precision,
    }
    trained = None if judge is None else judge[TRAINED]
    ticket = Ticket.of(
        alive,
        starting_weights(rewind),
        lineage,
        trained,
        tied_names(model.state_dict()),
        found=None if found_in is None else found_in[BEST],
    )
    ticket.verify()
    files: dict[File[Any], Any] = {TICKET: ticket}
    if samples is not None:
        files[SET] = samples[SET]
    return Made(facts=facts, files=files)
