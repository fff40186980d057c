"""Global magnitude pruning against a full sort, and as a share of an epoch.

python tests/benchmarks/pruning.py [--quick]
"""

import time

import torch
import torchvision
from measuring import Row, least_seconds, parser, show
from torch import Tensor

from prac import Mask, global_magnitude
from prac.pruning.prunable import prunable_weights

EPOCH_IMAGES = 45_000


def by_sorting(weights: dict[str, Tensor], mask: Mask) -> Tensor:
    """The same answer by a stable sort of all magnitudes."""
    row = torch.cat([w.detach().abs().flatten() for w in weights.values()])
    alive = torch.cat([mask[name].flatten() for name in weights])
    order = torch.argsort(row.masked_fill(~alive, -1), stable=True)
    num_alive = int(alive.sum())
    keep = torch.zeros_like(alive)
    keep[order[len(row) - num_alive + round(0.2 * num_alive) :]] = True
    return keep


def step_seconds(model: torch.nn.Module, batch: int) -> float:
    """The least time of one training step on 32 x 32 images, bf16 and channels-last."""
    images = torch.randn(batch, 3, 32, 32).to(memory_format=torch.channels_last)
    labels = torch.randint(10, (batch,))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(images)
        torch.nn.functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    step()
    return least_seconds(step, 3)


def main() -> None:
    """Parse, measure, show."""
    options = parser(__doc__).parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = torchvision.models.resnet18(num_classes=10).to(memory_format=torch.channels_last)
    weights = prunable_weights(model)
    mask = global_magnitude(weights, Mask.dense(model), 0.2)
    started = time.process_time()
    sorted_keep = by_sorting(weights, mask)
    sorting = time.process_time() - started
    ours = global_magnitude(weights, mask, 0.2)
    assert torch.equal(torch.cat([ours[name].flatten() for name in weights]), sorted_keep)
    pruning = least_seconds(lambda: global_magnitude(weights, mask, 0.2))
    distance = least_seconds(lambda: ours.distance(mask, alive=mask.num_alive))
    batch = 8 if options.quick else 128
    epoch = step_seconds(model, batch) * EPOCH_IMAGES / batch
    ways = {"ours": pruning, "stable sort": sorting, "distance of two masks": distance}
    rows: list[Row] = [
        {
            "way": way,
            "ms": each * 1e3,
            "time / ours": each / pruning,
            "% of epoch": 100 * each / epoch,
        }
        for way, each in ways.items()
    ]
    show("pruning: ResNet-18, 11.2 M weights, one core; epoch of 45,000 images", rows, options.json)


if __name__ == "__main__":
    main()
