"""What finished stages left as files, read for the report: sets, masks, statistics, samples.

Only files that a stage's manifest lists are read: a method that records no events, or takes its
sets from elsewhere, has none of some.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from prac.analysis.gallery import Gallery
from prac.analysis.mask_bits import Bits, dice, pack
from prac.analysis.results import (
    ClassShare,
    HardSample,
    LayerShare,
    MaskOverlap,
    RoundRow,
    ThresholdSet,
)
from prac.config.sections import SelectConfig
from prac.data.dataset import ImageDataset
from prac.lottery.graph import Graph, SearchStages, Stage
from prac.lottery.outputs import NEXT_MASK, PREDICTIONS, SET, STATISTICS, File, Made
from prac.selection.prac_set import PracSet
from prac.selection.thresholds import ThresholdRow, what_if

THRESHOLDS = (0, 2, 4, 6, 8, 10)
"""The published table's (arXiv:2106.03225, section 4)."""

MAX_MASK_BYTES = 2_000_000_000
"""Of masks (a byte a weight) that are read for one architecture: a server may be far away."""

MAX_SHEETS = 16
"""Rounds of a search whose sets are shown as pictures."""

_READERS = 8

T = TypeVar("T")
Rows = Mapping[tuple[str, str, int], RoundRow]


@dataclass(frozen=True)
class StageFiles:
    """The files of one pipeline's finished stages. rows: by architecture, method and round."""

    graph: Graph
    made: Mapping[str, Made]
    dataset: ImageDataset
    rows: Rows

    def read(self, stage: str, file: File[T]) -> T | None:
        """A file, verified; None where the stage left none."""
        made = self.made.get(stage)
        return made[file] if made is not None and file in made.files else None

    def statistics(self, search: SearchStages, index: int) -> pa.Table | None:
        """Of the events of round `index`; round 0's are in the reducer."""
        name: str | None = search.rounds[index]
        if index == 0:
            name = next((r.name for r in self._reducers(search.rounds[0])), None)
        return None if name is None else self.read(name, STATISTICS)

    def _reducers(self, dense: str) -> list[Stage]:
        stages = self.graph.stages.values()
        return [s for s in stages if s.kind == "reduce" and dense in s.inputs.values()]

    def predictions(self, stage: str) -> NDArray[np.int32] | None:
        """(|D_0|,) classes of the training rows."""
        table = self.read(stage, PREDICTIONS)
        if table is None:
            return None
        predicted: NDArray[np.int32] = table["predicted"].to_numpy()
        return predicted

    def chosen(self, search: SearchStages, index: int) -> PracSet | None:
        """D_k of round `index`; None where it is everything."""
        if index == 0 or not search.samples:
            return None
        return self.read(search.samples[index - 1], SET)

    def what_if(
        self, search: SearchStages, index: int, thresholds: Sequence[int], select: SelectConfig
    ) -> list[ThresholdRow] | None:
        """The sets that thresholds would make of what round `index` left; None without events."""
        statistics = self.statistics(search, index)
        if statistics is None:
            return None
        compared = {}
        if index > 0 and select.cep:
            dense, pruned = search.rounds[0], search.rounds[index]
            compared = {"dense": self.predictions(dense), "pruned": self.predictions(pruned)}
        return what_if(
            statistics,
            thresholds,
            labels=self.dataset.train_labels,
            num_classes=self.dataset.num_classes,
            training_ids=self.dataset.training_ids,
            select=select,
            **compared,
        )

    def thresholds(self, search: SearchStages, select: SelectConfig) -> list[ThresholdSet]:
        """The sets that other thresholds would have made of each round's events."""
        found: list[ThresholdSet] = []
        if not select.cet:
            return found  # the threshold decides nothing
        for index in range(len(search.rounds)):
            row = self.rows[search.architecture, search.method, index + 1]
            made = self.what_if(search, index, THRESHOLDS, select)
            if made is None or row.cet_size is None:
                continue
            for each in made:
                found.append(
                    ThresholdSet(
                        architecture=search.architecture,
                        method=search.method,
                        round=row.round,
                        sparsity=row.sparsity,
                        threshold=each.threshold,
                        set_size=each.set_size,
                        cet_size=each.cet_size,
                        never_learned=each.never_learned,
                        cep_size=each.cep_size,
                        overlap=each.overlap,
                    )
                )
        return found

    def classes(self, search: SearchStages) -> list[ClassShare]:
        """The classes of each round's set; nothing where every round trains on everything."""
        labels, names = self.dataset.train_labels, self.dataset.class_names
        everything = np.bincount(labels[self.dataset.training_ids], minlength=len(names))
        found = []
        for index in range(1, len(search.samples) + 1):
            chosen = self.chosen(search, index)
            if chosen is None:
                continue
            row = self.rows[search.architecture, search.method, index]
            counts = np.bincount(labels[chosen.sample_ids], minlength=len(names))
            for place, name in enumerate(names):
                found.append(
                    ClassShare(
                        architecture=search.architecture,
                        method=search.method,
                        round=index,
                        sparsity=row.sparsity,
                        label=name,
                        samples=int(counts[place]),
                        share=float(counts[place] / len(chosen)),
                        of_training=float(everything[place] / everything.sum()),
                    )
                )
        return found

    def mask_overlaps(self, architecture: str) -> list[MaskOverlap]:
        """How alike the masks of all pairs of methods are, round by round.

        Of networks so large that their masks would be gigabytes, in some rounds and the last.
        """
        searches = [s for s in self.graph.searches if s.architecture == architecture]
        found = []
        last = max((len(s.masks) for s in searches), default=0)
        size = max((self.rows[architecture, s.method, 0].weights_left for s in searches), default=0)
        for index in thinned(last, max(1, MAX_MASK_BYTES // max(1, size * len(searches)))):
            makers = {s.method: s.masks[index - 1] for s in searches if index <= len(s.masks)}
            masks = self._masks(set(makers.values()))
            known = [
                (search, masks[makers[search.method]])
                for search in searches
                if makers.get(search.method) in masks
            ]
            for place, (search, bits) in enumerate(known):
                row = self.rows[architecture, search.method, index]
                for other, others in known[place + 1 :]:
                    overlap, chance = dice(bits, others)
                    found.append(
                        MaskOverlap(
                            architecture=architecture,
                            round=index,
                            sparsity=row.sparsity,
                            method=search.method,
                            other=other.method,
                            overlap=overlap,
                            chance=chance,
                        )
                    )
        return found

    def layers(self, search: SearchStages) -> list[LayerShare]:
        """The layers of the last mask that the search made."""
        index = len(search.masks)
        mask = self.read(search.masks[-1], NEXT_MASK) if index else None
        return [
            LayerShare(
                architecture=search.architecture,
                method=search.method,
                round=index,
                layer=name,
                weights=kept.numel(),
                alive=int(kept.sum()),
            )
            for name, kept in ({} if mask is None else mask).items()
        ]

    def _masks(self, stages: Collection[str]) -> dict[str, Bits]:
        """The masks that these stages left, by stage; a server is asked for several at a time."""

        def one(stage: str) -> tuple[str, Bits | None]:
            mask = self.read(stage, NEXT_MASK)
            return stage, None if mask is None else pack(mask)

        with ThreadPoolExecutor(_READERS) as pool:
            return {stage: bits for stage, bits in pool.map(one, stages) if bits is not None}

    def gallery(self, search: SearchStages) -> Gallery | None:
        """The samples as the search's round 0 saw them; None where it recorded no events."""
        statistics = self.statistics(search, 0)
        if statistics is None:
            return None
        predictions = self.predictions(search.rounds[0])
        return Gallery(search.architecture, statistics, self.dataset, predictions)

    def last_samples(self, search: SearchStages, gallery: Gallery) -> list[HardSample]:
        """Samples inside and outside the last set."""
        chosen = self.chosen(search, len(search.samples))
        return [] if chosen is None else gallery.inside_and_outside(chosen)

    def members(self, search: SearchStages, gallery: Gallery) -> dict[int, list[HardSample]]:
        """Samples drawn from D_k, by round: of at most `MAX_SHEETS` rounds."""
        found = {}
        for index in thinned(len(search.samples), MAX_SHEETS):
            chosen = self.chosen(search, index)
            if chosen is not None:
                samples = gallery.inside_and_outside(chosen)
                found[index] = [sample for sample in samples if sample.inside]
        return found


def thinned(last: int, most: int) -> list[int]:
    """At most `most` of the rounds 1 to `last`, evenly, the last among them; rising."""
    if last <= most:
        return list(range(1, last + 1))
    return sorted({last - round(place * last / most) for place in range(most)})
