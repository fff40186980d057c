"""What decides which weights are pruned: criteria by name, and those of the user.

A criterion of your own is a function in a file of yours:

    from prac.pruning.criteria import Pruning, criterion

    @criterion(reads="trained")
    def smallest_update(pruning: Pruning) -> Mapping[str, Tensor]:
        ...  # one tensor for each name of `pruning.mask`, of its shape: the lowest are pruned

`--set prune.criterion=package.module:function` prunes by it in every search that prunes,
`--compare package.module:function` runs a search by it beside the others. The counts, the subset
and the ties are the mask's affair: a criterion only ranks. Its file's source is part of the keys
of what it makes. What `pruning.batches()` gives is billed as run forward and backward once; a
criterion that does otherwise says so (`passes`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from prac.config.checks import require_choice
from prac.config.methods import Method, Trains
from prac.config.plug_ins import find_plug_in

# A plan needs to know what a criterion reads, and does without torch.
if TYPE_CHECKING:
    from torch import Tensor, nn

    from prac.pruning.mask import Mask

Reads = Literal["trained", "initial", "nothing"]
OPTIONS = ("iterations", "scoring_samples")
"""The fields of PruneConfig that a criterion may name as its options."""
Batches: TypeAlias = "Sequence[tuple[Tensor, Tensor]]"


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """What a criterion may look at.

    model: with the weights to judge, those outside `mask` counting as zero; it must be left as it
    is. batches: `batches()` gives `((B, C, H, W) float32 images, (B,) int64 labels)`, as many
    of each class, or one more of the first ones, not augmented. image_shape: (H, W, C). seed: of
    this round alone. iterations: in which the round is pruned, scored anew before each.
    """

    model: nn.Module
    mask: Mask
    image_shape: tuple[int, int, int]
    batches: Callable[[], Batches]
    seed: int
    iterations: int = 1


Saliency: TypeAlias = "Callable[[Pruning], Mapping[str, Tensor]]"


@dataclass(frozen=True)
class Criterion:
    """A saliency and what it reads.

    reads: `trained`: the weights at the end of every epoch, which makes tentative masks, or the
    dense network's where a method trains no other; `initial`:
    the search's initial weights, so that no round has to be trained for it; `nothing` of the
    weights, so that round 0 alone is trained, for what tickets rewind to. options: the fields of
    PruneConfig beside the fraction that it reads. passes: what an image costs at each scoring, in
    forward passes: 3 where it runs forward and backward. own_images: that it makes itself, and
    passes at each scoring beside those of the data.
    """

    saliency: Saliency
    reads: Reads
    options: tuple[str, ...] = ()
    passes: int = 3
    own_images: int = 0

    def __post_init__(self) -> None:
        require_choice("a criterion that reads", self.reads, get_args(Reads))
        for option in self.options:
            require_choice("a criterion's option", option, OPTIONS)

    @property
    def name(self) -> str:
        return self.saliency.__name__

    def passes_for(self, images: int, scorings: int) -> int:
        """Forward passes of one image that so many scorings cost, which were given `images` of the
        data altogether."""
        return self.passes * (images + self.own_images * scorings)

    def next_mask(self, pruning: Pruning, fraction: float) -> Mask:
        """The mask without the `fraction` of the weights alive that matter least.

        As many are removed as by `global_magnitude`; over several iterations the count falls by the
        same ratio in each (Tanaka et al. 2020, arXiv:2006.05467, algorithm 1).
        """
        from prac.pruning.keep import keep_highest

        mask = pruning.mask
        alive = mask.num_alive
        target = alive - round(fraction * alive)
        for step in range(1, pruning.iterations + 1):
            last = step == pruning.iterations
            share = step / pruning.iterations
            kept = target if last else round(alive * (target / max(1, alive)) ** share)
            scores = self.saliency(dataclasses.replace(pruning, mask=mask))
            mask = keep_highest(scores, mask, kept)
        return mask

    def as_method(self, name: str) -> Method:
        """The method that `--compare` runs: as many weights as vanilla, chosen by this
        criterion; no training without need."""
        trains: dict[Reads, Trains] = {
            "trained": "rounds",
            "nothing": "dense",
            "initial": "nothing",
        }
        return Method(
            name=name,
            summary="masks by a criterion of yours",
            data="everything",
            prunes=name,
            trains=trains[self.reads],
            stops_early=False,
            starts="initial" if self.reads == "initial" else "rewind",
        )


class _Magnitude(Criterion):
    def next_mask(self, pruning: Pruning, fraction: float) -> Mask:
        # The same, by selection without a sort.
        from prac.pruning.magnitude import global_magnitude

        return global_magnitude(pruning.mask.weights(pruning.model), pruning.mask, fraction)


def criterion(
    *, reads: Reads, options: tuple[str, ...] = (), passes: int = 3, own_images: int = 0
) -> Callable[[Saliency], Criterion]:
    """Make a function a criterion; see the module's head for an example."""
    return lambda saliency: Criterion(saliency, reads, options, passes, own_images)


def _magnitude(pruning: Pruning) -> Mapping[str, Tensor]:
    return {name: weight.abs() for name, weight in pruning.mask.weights(pruning.model).items()}


@criterion(reads="nothing")
def random_pruning(pruning: Pruning) -> Mapping[str, Tensor]:
    """A number drawn for each weight."""
    import torch

    generator = torch.Generator().manual_seed(pruning.seed)
    return {
        name: torch.rand(alive.shape, generator=generator, dtype=torch.float64)
        for name, alive in pruning.mask.items()
    }


@criterion(reads="nothing")
def random_erk(pruning: Pruning) -> Mapping[str, Tensor]:
    """Drawn, with densities of layers by the Erdos-Renyi-Kernel rule.

    Mocanu et al. 2018 and Evci et al. 2020 (arXiv:1911.11134), section 3: a layer of shape (out,
    in, height, width) keeps the share eps * (out + in + height + width) / (out * in * height *
    width) of its weights, at most all, with one eps for all layers. That is eps times the sum of
    its sides in weights, so the i-th of a layer's weights alive, in an order that is drawn, stays
    where eps is above i / sum: it is ranked by that. Whatever the cut, each layer so keeps its own
    count, in one round or in several; all of them where the cut reaches none.
    """
    import torch

    generator = torch.Generator().manual_seed(pruning.seed)
    scores = {}
    for name, alive in pruning.mask.items():
        drawn = torch.randperm(int(alive.sum()), generator=generator).double()
        scores[name] = torch.zeros(alive.shape, dtype=torch.float64)
        # Half a weight on, so that counts are rounded and not cut off.
        scores[name][alive.cpu()] = -(drawn + 0.5) / sum(alive.shape)
    return scores


@criterion(reads="initial", options=("iterations", "scoring_samples"))
def snip(pruning: Pruning) -> Mapping[str, Tensor]:
    """SNIP: how much the loss would change; see `prac.pruning.saliency`."""
    from prac.pruning.saliency import snip_saliency

    return snip_saliency(pruning.model, pruning.mask, pruning.batches())


# Forward and backward for the gradient g: 3; for Hg the same again, and backward through it: 9.
@criterion(reads="initial", options=("iterations", "scoring_samples"), passes=12)
def grasp(pruning: Pruning) -> Mapping[str, Tensor]:
    """GraSP: how much the gradient's flow would change; see `prac.pruning.saliency`."""
    from prac.pruning.saliency import grasp_saliency

    return grasp_saliency(pruning.model, pruning.mask, pruning.batches())


@criterion(reads="initial", options=("iterations",), own_images=1)
def synflow(pruning: Pruning) -> Mapping[str, Tensor]:
    """SynFlow: the flow through a weight; see `prac.pruning.saliency`."""
    from prac.pruning.saliency import synflow_saliency

    return synflow_saliency(pruning.model, pruning.mask, pruning.image_shape)


MAGNITUDE = _Magnitude(_magnitude, "trained")
CRITERIA: Mapping[str, Criterion] = MappingProxyType(
    {
        "magnitude": MAGNITUDE,
        "random": random_pruning,
        "random-erk": random_erk,
        "snip": snip,
        "grasp": grasp,
        "synflow": synflow,
    }
)
"""By name."""


def find_criterion(name: str) -> Criterion:
    """The criterion with this name, or the user's `package.module:function`. Raises ConfigError."""
    return find_plug_in("prune.criterion", name, CRITERIA, Criterion, criterion)
