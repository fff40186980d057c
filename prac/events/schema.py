"""What is written down at each presentation of a training sample."""

from __future__ import annotations

import pyarrow as pa
import torch
from torch import Tensor

EVENT_SCHEMA = pa.schema(
    [
        pa.field("round", pa.int16(), nullable=False),
        pa.field("epoch", pa.int16(), nullable=False),
        pa.field("sample_id", pa.int32(), nullable=False),
        pa.field("correct", pa.bool_(), nullable=False),
        pa.field("margin", pa.float16(), nullable=False),
        pa.field("el2n", pa.float16(), nullable=False),
    ]
)
"""One row an event: was the prediction right before the update, and how wrong was it."""


def event_columns(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Judge one batch of predictions made before the update.

    logits: (B, K) of any float type; labels: (B,) int64.
    Returns, on the logits' device and without synchronising with it: correct (B,) bool; margin (B,)
    float16, the true class's logit minus the largest other; el2n (B,) float16, the Euclidean norm
    of softmax minus one-hot (Paul et al. 2021, arXiv:2107.07075, section 2.2). A tie of the
    largest logits goes to the lower class, as `argmax` does.
    """
    logits = logits.detach().float()
    correct = logits.argmax(dim=1) == labels
    one_hot = torch.nn.functional.one_hot(labels, logits.shape[1])
    true_logit = logits.gather(1, labels[:, None]).squeeze(1)
    largest_other = logits.masked_fill(one_hot.bool(), float("-inf")).amax(dim=1)
    el2n = (logits.softmax(dim=1) - one_hot).norm(dim=1)
    # float16 ends at 65504; a diverging run must not turn its margins into infinities.
    margin = (true_logit - largest_other).clamp(-65504.0, 65504.0)
    return correct, margin.half(), el2n.half()
