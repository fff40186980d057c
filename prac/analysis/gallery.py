"""Training samples to look at, with their images: never learned, most forgotten, in and out."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from prac.analysis.results import HardSample, Memorised
from prac.data.dataset import ImageDataset
from prac.selection.prac_set import PracSet, Reason

NUM_SHOWN = 24
"""Images of each kind for each architecture; a page of all would be too heavy."""

NUM_DRAWN = 16
"""Samples drawn from inside the set, and as many from outside."""

MAX_PIXELS = 128
"""Images with longer sides are shown smaller."""

_WORDS = {
    Reason.FORGOTTEN: "forgotten",
    Reason.NEVER_LEARNED: "never learned",
    Reason.DISAGREED: "disagreed on",
    Reason.DRAWN: "drawn",
    Reason.EASY: "easy, drawn",
    Reason.SCORED: "by its score",
}


class Gallery:
    """The samples of one architecture, as round 0 saw them.

    statistics: of round 0, one row a training sample. predictions: the dense model's classes of
    `training_ids`; None where they are not known.
    """

    def __init__(
        self,
        architecture: str,
        statistics: pa.Table,
        dataset: ImageDataset,
        predictions: NDArray[np.int32] | None = None,
    ) -> None:
        self._architecture, self._dataset = architecture, dataset
        self._predictions = predictions
        self._ids = statistics["sample_id"].to_numpy()
        self._presentations = statistics["presentations"].to_numpy()
        self._forgotten = statistics["forgotten"].to_numpy()
        self._first = statistics["first_learned"].fill_null(-1).to_numpy()
        self._never = statistics["first_learned"].is_null().to_numpy()
        self._margin = statistics["mean_margin"].to_numpy()

    def memorised(self) -> Memorised:
        """When the samples were learned, of as many epochs as any was presented in."""
        epochs = int(self._presentations.max(initial=0))
        first = self._first[~self._never]
        late = int((first >= (epochs + 1) // 2).sum())
        at_once = int((first == 0).sum())
        return Memorised(
            architecture=self._architecture,
            epochs=epochs,
            at_once=at_once,
            early=len(first) - late - at_once,
            late=late,
            never=int(self._never.sum()),
        )

    def never_learned(self) -> list[HardSample]:
        """All that were never predicted right, the most surely wrong first; some with images."""
        places = np.flatnonzero(self._never)
        order = places[np.lexsort((self._ids[places], self._margin[places]))]
        return [self._sample(p, shown=n < NUM_SHOWN) for n, p in enumerate(order.tolist())]

    def most_forgotten(self) -> list[HardSample]:
        """Those learned and forgotten most often, then with the smallest mean margin."""
        places = np.flatnonzero(~self._never & (self._forgotten > 0))
        keys = (self._ids[places], self._margin[places], -self._forgotten[places])
        return [self._sample(p) for p in places[np.lexsort(keys)][:NUM_SHOWN].tolist()]

    def inside_and_outside(self, chosen: PracSet) -> list[HardSample]:
        """Samples drawn at random from the set, and from the rest; the same for the same set."""
        inside = np.isin(self._ids, chosen.sample_ids)
        found = []
        for wanted in (True, False):
            places = np.flatnonzero(inside == wanted)
            generator = np.random.Generator(np.random.PCG64([len(chosen), wanted]))
            size = min(NUM_DRAWN, len(places))
            for place in np.sort(generator.choice(places, size, replace=False)).tolist():
                reason = _reason(chosen, int(self._ids[place])) if wanted else ""
                found.append(self._sample(place, inside=wanted, reason=reason))
        return found

    def _sample(
        self, place: int, *, shown: bool = True, inside: bool | None = None, reason: str = ""
    ) -> HardSample:
        dataset, sample_id = self._dataset, int(self._ids[place])
        return HardSample(
            architecture=self._architecture,
            sample_id=sample_id,
            label=dataset.class_names[dataset.train_labels[sample_id]],
            presentations=int(self._presentations[place]),
            forgotten=int(self._forgotten[place]),
            never_learned=bool(self._never[place]),
            mean_margin=float(self._margin[place]),
            png=_png(dataset.train_images[sample_id]) if shown else b"",
            predicted=self._predicted(sample_id),
            inside=inside,
            reason=reason,
        )

    def _predicted(self, sample_id: int) -> str | None:
        if self._predictions is None:
            return None
        place = int(np.searchsorted(self._dataset.training_ids, sample_id))
        return str(self._dataset.class_names[self._predictions[place]])


def _reason(chosen: PracSet, sample_id: int) -> str:
    reasons = chosen.reasons[np.searchsorted(chosen.sample_ids, sample_id)]
    return ", ".join(word for reason, word in _WORDS.items() if reasons & np.uint8(reason))


def _png(image: NDArray[np.uint8]) -> bytes:
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    picture.thumbnail((MAX_PIXELS, MAX_PIXELS))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
