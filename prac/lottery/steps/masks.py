"""The stages that make masks beside the training, and starts that are no rewind weights."""

from __future__ import annotations

from prac.lottery.env import Work
from prac.lottery.masks import make_mask
from prac.lottery.outputs import BEST, NEXT_MASK, REWIND, Cost, Facts, Made, MaskFacts
from prac.lottery.stage_config import MaskConfig, StartConfig
from prac.lottery.starts import start_weights
from prac.training.made_by import computed_by


def prune_stage(
    config: MaskConfig, work: Work, *, before: Made | None = None, trained: Made | None = None
) -> Made:
    """m_{k+1} without a training for it. before: made m_k; None is all ones. trained: the dense
    run, by whose best weights it is made; None: by the initial ones."""
    images = work.env.images()
    mask = None if before is None else before[NEXT_MASK]
    made = make_mask(config, images, mask, None if trained is None else trained[BEST])
    return Made(
        facts=MaskFacts(
            next_sparsity=made.mask.sparsity,
            next_weights_alive=made.mask.num_alive,
            weights=made.mask.size,
        ),
        cost=Cost(score_gradient_samples=made.score_samples, score_passes=made.score_passes),
        files={NEXT_MASK: made.mask},
        made_by=computed_by(images.device),
    )


def start_stage(config: StartConfig, work: Work) -> Made:
    """The weights that tickets start from which don't rewind."""
    return Made(facts=Facts(), files={REWIND: start_weights(config, work.env.dataset())})
