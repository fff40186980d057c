"""The stage that binds a ticket: mask, rewind weights and lineage together."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from prac.data.dataset import ImageDataset
from prac.lottery.bill import steps_saved
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
    RoundFacts,
    SetFacts,
    TicketFacts,
    starting_weights,
)
from prac.lottery.stage_config import TicketStageConfig
from prac.models.registry import network_for
from prac.models.state import tied_names
from prac.ticket.cost import ticket_cost
from prac.ticket.format import Ticket
from prac.training.made_by import together


@dataclass(frozen=True, kw_only=True)
class _Inputs:
    """What a ticket with mask m_k is bound of, by role: what made each.

    mask, rewind: its parts. samples: D_k, the set chosen for training under m_k, with which the
    search goes on, if it does; size: the set whose size that has. judge: trained it; dense_judge:
    the dense network. found: tested what the search's own training under this mask left, which is
    `found_in`. trainings: all that were needed to find it; found_trainings: and for that network.
    """

    mask: Made
    rewind: Made
    trainings: tuple[Made, ...]
    found_trainings: tuple[Made, ...] = ()
    samples: Made | None = None
    size: Made | None = None
    judge: Made | None = None
    dense_judge: Made | None = None
    found: Made | None = None
    found_in: Made | None = None

    @classmethod
    def of(cls, made: Mapping[str, Made]) -> _Inputs:
        """Trainings are numbered: `training_0` and so on, `found_training_0` where what the search
        left needed others than these and its own."""
        trainings, found = (
            {role: each for role, each in made.items() if role.startswith(start)}
            for start in ("training_", "found_training_")
        )
        others = {n: each for n, each in made.items() if n not in trainings.keys() | found.keys()}
        needed = (*trainings.values(), others["found_in"]) if "found_in" in others else ()
        return cls(
            trainings=tuple(trainings.values()),
            found_trainings=tuple(found.values()) or needed,
            **others,
        )

    @property
    def chosen(self) -> SetFacts | None:
        """Of D_k; None where it is everything."""
        chosen = self.samples or self.size
        return None if chosen is None else chosen.known(SetFacts)

    @property
    def made_by(self) -> dict[str, Any]:
        """Of all that made a part of it, or tested one."""
        tests = (self.judge, self.dense_judge, self.found, self.found_in)
        parts = (*self.trainings, self.mask, self.rewind, *filter(None, tests))
        return together(*(part.made_by for part in parts))


def ticket_stage(config: TicketStageConfig, work: Work, **made: Made) -> Made:
    """The ticket with mask m_k; `made` by role, as `_Inputs` has them."""
    dataset, inputs = work.env.dataset(), _Inputs.of(made)
    model = network_for(dataset, config.architecture)
    facts = _facts(config, dataset, inputs, model)
    known = dataclasses.asdict(facts)
    lineage = {
        **{n: v for n, v in known.items() if "found" not in n or not (v is None or v is False)},
        "made_by": inputs.made_by,
        "class_names": list(dataset.class_names),
        "image_shape": list(dataset.image_shape),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "stage_key": work.run,
        "transfer_from": config.transfer_from,
        "precision": config.precision,
    }
    ticket = Ticket.of(
        inputs.mask[NEXT_MASK],
        starting_weights(inputs.rewind),
        lineage,
        None if inputs.judge is None else inputs.judge[TRAINED],
        tied_names(model.state_dict()),
        found=None if inputs.found_in is None else inputs.found_in[BEST],
    )
    ticket.verify()
    files: dict[File[Any], Any] = {TICKET: ticket}
    if inputs.samples is not None:
        files[SET] = inputs.samples[SET]
    return Made(facts=facts, files=files)


def _facts(
    config: TicketStageConfig, dataset: ImageDataset, inputs: _Inputs, model: nn.Module
) -> TicketFacts:
    alive, chosen = inputs.mask[NEXT_MASK], inputs.chosen
    steps = sum(training.cost.steps for training in inputs.trainings)
    test, validation = _accuracies(inputs.judge)
    found_test, found_validation = _accuracies(inputs.found)
    as_found = inputs.judge is not None and inputs.judge.known(JudgeFacts).as_found
    if inputs.found_in is not None:
        found_validation = inputs.found_in.known(RoundFacts).best_accuracy
    return TicketFacts(
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
        steps_saved=steps_saved(
            steps, config.budget_steps, config.round_index + config.budgets_more
        ),
        test_accuracy=test,
        validation_accuracy=validation,
        dense_test_accuracy=_accuracies(inputs.dense_judge)[0],
        rewind=str(config.rewind),
        recipe=config.recipe,
        seed=config.seed,
        image_shape=dataset.image_shape,
        splits=dataset.splits,
        num_classes=dataset.num_classes,
        data_fingerprint=dataset.fingerprint,
        set_digest="" if inputs.samples is None or chosen is None else chosen.digest,
        as_found=as_found,
        found_test_accuracy=found_test,
        found_validation_accuracy=found_validation,
        found_steps=sum(training.cost.steps for training in inputs.found_trainings) or None,
        **vars(ticket_cost(model, alive, dataset.image_shape)),
    )


def _accuracies(judge: Made | None) -> tuple[float | None, float | None]:
    """Of the test and the validation split, where it was judged."""
    if judge is None:
        return None, None
    facts = judge.known(JudgeFacts)
    return facts.test_accuracy, facts.best_accuracy
