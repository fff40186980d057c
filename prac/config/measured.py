"""What was measured of the recipes, so that each says what stands behind it.

A recipe that has no line here has been run by nobody who wrote its figures down.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_QUICK = (
    "python pipelines/full.py --recipe cifar10_quick --data parquet:PATH "
    "--compare vanilla random-subset cet-only rs2 --seeds 3 --judge 0,2,3"
)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """searches: of each network, by each method, a seed each. variant: what they differ from the
    recipe in, empty for nothing. trainings: of a ticket in each search, by which it was judged;
    0: it was tested as found. date: of the day, as in ISO 8601. command: that measures it again.
    found: what it says. page: with all figures, in the repository.
    """

    searches: int
    trainings: int
    date: str
    command: str
    found: str
    page: str
    variant: str = ""

    def lines(self) -> list[str]:
        """For people."""
        trained = "each ticket" if self.searches else "the dense network"
        trainings = f"trainings of {trained}: {self.trainings}" if self.trainings else "as found"
        apart = f" ({self.variant})" if self.variant else ""
        told = f"searches: {self.searches}{apart}, {trainings}"
        return [f"measured {self.date}: {self.found}", f"{told}; {self.page}", self.command]


MEASURED: Mapping[str, Measured] = MappingProxyType(
    {
        "digits": Measured(
            searches=1,
            trainings=1,
            date="2026-11-28",
            command="python pipelines/full.py",
            found="at 83.2 % sparsity PrAC took a fifth of vanilla's SGD steps, and as many as a "
            "random subset; one search tells none of their accuracies from dense",
            page="README.md",
        ),
        "cifar10_quick": Measured(
            searches=1,
            trainings=3,
            date="2026-11-25",
            command=_QUICK,
            found="at 78.4 % sparsity 79.6 % test accuracy for 36 % fewer SGD steps than vanilla's "
            "82.1 %; a random subset of the same sizes and steps had 80.4 %, the dense network "
            "80.6 %",
            page="pipelines/README.md",
        ),
        "cifar10_fast": Measured(
            searches=5,
            trainings=0,
            date="2026-11-29",
            command="python tests/benchmarks/evidence.py --data parquet:PATH --table searches "
            "--only 'soft, one cut' 'vanilla, one cut' --starts learning-rate "
            "--seeds 10 11 12 13 14 --test --minutes 900 --json NEW",
            found="at 78.4 % sparsity 90.19 % test accuracy as found, random samples drawn and "
            "weighted alike 89.47 % (0.28 to 1.16 points below), the dense network 90.29 %, for "
            "40 % of the SGD steps of vanilla under three masks, which was 0.87 points above (0.37 "
            "to 1.37); vanilla in one cut had 90.46 % for 50 % (0.02 to 0.52 points above, of "
            "three comparisons; p 0.083)",
            page="tests/benchmarks/evidence/searches.md",
        ),
        "cifar10_speed": Measured(
            searches=0,
            trainings=3,
            date="2026-11-28",
            command="python tests/benchmarks/evidence.py --data parquet:PATH --minutes 900 "
            "--starts learning-rate --json NEW",
            found="its dense network reached 90.2 to 90.9 % validation accuracy; trained on "
            "without pruning, soft sets were 1.5 points above random ones in the mean of three "
            "exploring seeds, PrAC's 0.7, neither beyond chance (p 0.058 and 0.079)",
            page="tests/benchmarks/evidence/one_training.md",
        ),
    }
)
"""By recipe."""
