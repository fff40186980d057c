"""The stages that make sets: events counted, scores, critical sets, sets by a score."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prac.config.sections import SelectConfig
from prac.errors import EmptySetError
from prac.lottery.env import Work
from prac.lottery.method_config import set_size
from prac.lottery.outputs import (
    BEST,
    PREDICTIONS,
    SCORES,
    SET,
    STATISTICS,
    Cost,
    CountFacts,
    Made,
    RoundFacts,
    ScoreFacts,
    SetFacts,
)
from prac.lottery.round_events import recorded_events
from prac.lottery.scoring import Witness
from prac.lottery.stage_config import (
    ReduceConfig,
    ScoreStageConfig,
    SelectStageConfig,
    SubsetStageConfig,
)
from prac.models.cost import dense_flops
from prac.selection.easy import with_easy
from prac.selection.prac_set import PracSet, select_critical
from prac.selection.scores import Evidence
from prac.selection.subsets import score_samples, take_by_score
from prac.training.made_by import computed_by


def reduce_stage(config: ReduceConfig, work: Work, *, dense: Made) -> Made:
    """The events of the dense run, counted."""
    if STATISTICS in dense.files:
        statistics = dense[STATISTICS]
    else:
        statistics = work.env.count(work.input_keys["dense"], dense.known(RoundFacts).epochs)
    events = int(np.sum(statistics["presentations"].to_numpy()))
    return Made(facts=CountFacts(events=events), files={STATISTICS: statistics})


def select_stage(
    config: SelectStageConfig,
    work: Work,
    *,
    statistics: Made,
    dense: Made | None = None,
    pruned: Made | None = None,
) -> Made:
    """D_k: critical for training, with critical for pruning from round 1 on.

    statistics: of the round before. dense, pruned: left the predictions that are compared.
    """
    compared = {}
    if dense is not None and pruned is not None:
        predictions = {"dense": dense[PREDICTIONS], "pruned": pruned[PREDICTIONS]}
        compared = {role: table["predicted"].to_numpy() for role, table in predictions.items()}
        compared["sample_ids"] = predictions["pruned"]["sample_id"].to_numpy()
    select = SelectConfig(threshold=config.threshold, cet=config.cet, cep=config.cep)
    critical = partial(select_critical, statistics[STATISTICS], select, **compared)
    if config.draw is None:
        return _set_made(critical())
    hard: PracSet | None = None
    with contextlib.suppress(EmptySetError):
        hard = critical()
    dataset = work.env.dataset()
    seed, index = config.draw
    chosen = with_easy(
        hard,
        config.easy,
        sample_ids=dataset.training_ids,
        labels=dataset.training_labels,
        seed=seed,
        round_index=index,
    )
    return _set_made(chosen)


def score_stage(
    config: ScoreStageConfig, work: Work, *, dense: Made | None = None, model: Made | None = None
) -> Made:
    """One number a training sample, from the events of round 0 or a model's predictions.

    dense: the run that recorded the events. model: left the weights of the model that is called.
    """
    images = work.env.images()
    witness = Witness(images, config.precision)
    seed, number = config.draw
    evidence = witness.evidence(
        seed=seed,
        round_index=number,
        events=None if dense is None else _events(work, dense),
        architecture=config.architecture,
        weights=None if model is None else model[BEST],
    )
    scores = score_samples(config.score, evidence)
    cost = Cost(score_samples=witness.predicted)
    if model is not None:
        # Whoever takes the set pays for it, with a network of another size, too.
        once = dense_flops(config.architecture, images)
        cost = Cost(score_samples=witness.predicted, other_flops=once * witness.predicted)
    columns = {"sample_id": images.training_ids, "score": scores}
    return Made(
        facts=ScoreFacts(mean_score=float(np.mean(scores))),
        cost=cost,
        files={SCORES: pa.table(columns)},
        made_by=computed_by(images.device, config.precision),
    )


def subset_stage(
    config: SubsetStageConfig, work: Work, *, size: Made | None = None, scores: Made | None = None
) -> Made:
    """D_k by a score: as many samples as another set has, or a fraction."""
    dataset = work.env.dataset()
    ids, labels = dataset.training_ids, dataset.training_labels
    if scores is not None:
        values: NDArray[np.floating] = scores[SCORES]["score"].to_numpy()
    else:
        assert config.score is not None  # of a score that reads nothing but the draw
        evidence = Evidence(
            sample_ids=ids, labels=labels, num_classes=dataset.num_classes, seed=config.draw
        )
        values = score_samples(config.score, evidence)
    borrowed = None if size is None else size.known(SetFacts).set_size
    seed, index = config.draw
    chosen = take_by_score(
        config.sampler,
        values,
        ids,
        labels,
        set_size(config.fraction, len(ids), borrowed),
        seed=seed,
        round_index=index,
    )
    return _set_made(chosen)


def _events(work: Work, dense: Made) -> Callable[[int | None], Iterator[pa.RecordBatch]]:
    """Reads the events of the dense run again: `events(epochs)`, of the first of them."""
    key = work.input_keys["dense"]
    return recorded_events(
        work.env.work(key),
        run=key,
        round_index=0,
        recorded=dense.known(RoundFacts).epochs,
        sample_ids=work.env.dataset().training_ids,
    )


def _set_made(chosen: PracSet) -> Made:
    training, pruning = chosen.training_ids, chosen.pruning_ids
    facts = SetFacts(
        set_size=len(chosen),
        cet_size=len(training),
        cep_size=len(pruning),
        overlap=len(np.intersect1d(training, pruning)),
        digest=chosen.digest,
    )
    return Made(facts=facts, files={SET: chosen})
