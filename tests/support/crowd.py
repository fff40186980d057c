"""Results as large as they come: three architectures, seventeen methods, sixteen rounds."""

from __future__ import annotations

import random

from prac.analysis.results import (
    Bill,
    ClassShare,
    DistanceRow,
    HardSample,
    MaskOverlap,
    Results,
    RoundRow,
    StageRow,
    ThresholdSet,
)

ARCHITECTURES = ("resnet20s", "resnet56s", "vgg16")
# How many points each loses at 96 % sparsity, and what a round costs beside vanilla's.
METHODS = {
    "prac": (3.0, 0.16),
    "vanilla": (2.5, 1.0),
    "random-subset": (4.5, 0.16),
    "rs2": (3.4, 0.16),
    "cet-only": (3.8, 0.16),
    "cep-only": (5.5, 0.1),
    "no-early-stop": (2.9, 0.55),
    "entropy": (4.2, 0.3),
    "proxy": (4.6, 0.35),
    "el2n": (4.0, 0.2),
    "margin": (3.9, 0.2),
    "dual": (3.6, 0.2),
    "random-pruning": (9.0, 1.0),
    "random-tickets": (8.0, 0.16),
    "snip": (7.0, 0.02),
    "grasp": (7.2, 0.02),
    "synflow": (5.0, 0.02),
}
LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ROUNDS, SAMPLES, STEPS = 16, 45_000, 64_064
SPARSITY = tuple(1 - 0.8**k for k in range(ROUNDS + 1))


def crowded(png: bytes) -> Results:
    """The results; `png` is the picture of every sample."""
    draw = random.Random(7)
    return Results(
        title=f"{', '.join(ARCHITECTURES)} on cifar10: PrAC beside {len(METHODS) - 1} others",
        data="cifar10",
        recipe="cifar10",
        num_training_samples=SAMPLES,
        num_test_samples=10_000,
        num_classes=10,
        tolerance=0.08,
        seed=0,
        judging_seeds=(0, 1, 2),
        settings={"train.epochs": "182", "search.rounds": "16"},
        rows=tuple(
            _row(draw, a, m, k) for a in ARCHITECTURES for m in METHODS for k in range(ROUNDS + 1)
        ),
        dense_test_accuracies=(dense := {a: _seeds(draw, 0.915) for a in ARCHITECTURES}),
        dense_validation_accuracies=dense,
        distances=tuple(
            DistanceRow(architecture=a, method=m, round=k, epoch=e, distance=0.4 / e + 0.01 * k)
            for a in ARCHITECTURES
            for m in ("prac", "vanilla", "cet-only", "el2n", "margin")
            for k in range(ROUNDS)
            for e in range(2, 30)
        ),
        recorded=ARCHITECTURES,
        hardest=tuple(_sample(draw, a, n, png) for a in ARCHITECTURES for n in range(24)),
        never_learned=tuple(
            _sample(draw, a, n, png if n < 24 else b"", never=True)
            for a in ARCHITECTURES
            for n in range(40)
        ),
        samples=tuple(
            _sample(draw, a, n, png, inside=n < 16) for a in ARCHITECTURES for n in range(32)
        ),
        thresholds=tuple(
            ThresholdSet(
                architecture=a,
                method="prac",
                round=k,
                sparsity=SPARSITY[k],
                threshold=limit,
                set_size=int(24_000 * 0.97**k / (1 + limit / 5)),
                cet_size=int(22_000 * 0.97**k / (1 + limit / 5)),
                never_learned=40,
                cep_size=4000,
                overlap=2000,
            )
            for a in ARCHITECTURES
            for k in range(1, ROUNDS + 1)
            for limit in (0, 2, 4, 6, 8, 10)
        ),
        masks=tuple(_overlaps()),
        classes=tuple(
            ClassShare(
                architecture=a,
                method="prac",
                round=k,
                sparsity=SPARSITY[k],
                label=label,
                samples=1000,
                share=0.1 * (1 + (place - 4.5) / 9 * (0.5 + k / 40)),
                of_training=0.1,
            )
            for a in ARCHITECTURES
            for k in range(1, ROUNDS + 1)
            for place, label in enumerate(LABELS)
        ),
        stages=tuple(_stages()),
        bills=tuple(_bill(a, m) for a in ARCHITECTURES for m in METHODS),
        forward_flops={"resnet20s": 81_000_000, "resnet56s": 251_000_000, "vgg16": 626_000_000},
        mlflow_link="http://localhost:5000/#/experiments/1",
        versions={"prac": "0.1.0"},
    )


def _seeds(draw: random.Random, middle: float) -> tuple[float, ...]:
    return tuple(round(middle + draw.gauss(0, 0.002), 4) for _ in range(3))


def _row(draw: random.Random, architecture: str, method: str, k: int) -> RoundRow:
    loss, cost = METHODS[method]
    paid = int(STEPS * (cost * (k - 1) + min(1.0, 3 * cost))) if k else 0
    size = SAMPLES if cost == 1 or not k else int(24_168 * 0.97**k)
    parts = method == "prac" and k > 0
    tested = _seeds(draw, 0.915 - loss / 100 * (k / ROUNDS) ** 2.2) if k % 2 == 0 else ()
    return RoundRow(
        architecture=architecture,
        method=method,
        round=k,
        trained=k < ROUNDS,
        sparsity=SPARSITY[k],
        weights_left=int(270_000 * 0.8**k),
        set_size=size,
        cet_size=size - 300 if parts else None,
        cep_size=4000 if parts else None,
        overlap=3700 if parts else None,
        epochs=30,
        budget_epochs=182,
        steps=int(STEPS * cost),
        search_steps=paid,
        steps_saved=1 - paid / (STEPS * k) if k else None,
        validation_accuracy=0.92 - loss / 100 * k / ROUNDS,
        best_epoch=20,
        seconds=100.0,
        test_accuracies=tested,
        validation_accuracies=tested,
        ticket=f"models:/prac-cifar10-{architecture}/{k}" if tested and k else None,
        flops_sparse=int(81_000_000 * 0.8**k) if tested and k else None,
        bytes_sparse=int(1_080_000 * 0.8**k) if tested and k else None,
    )


def _sample(
    draw: random.Random,
    architecture: str,
    number: int,
    png: bytes,
    *,
    never: bool = False,
    inside: bool | None = None,
) -> HardSample:
    return HardSample(
        architecture=architecture,
        sample_id=draw.randrange(SAMPLES),
        label=LABELS[number % 10],
        presentations=182,
        forgotten=0 if never else 60 - number,
        never_learned=never,
        mean_margin=-3.0,
        png=png,
        predicted=LABELS[(number + 1) % 10],
        inside=inside,
        reason="forgotten, disagreed on" if inside else "",
    )


def _overlaps() -> list[MaskOverlap]:
    names = list(METHODS)
    return [
        MaskOverlap(
            architecture=a,
            round=k,
            sparsity=SPARSITY[k],
            method=one,
            other=other,
            overlap=max(0.8**k, 1 - 0.015 * k * (1 + abs(names.index(one) - place) / 6)),
            chance=0.8**k,
        )
        for a in ARCHITECTURES
        for k in range(1, ROUNDS + 1)
        for place, other in enumerate(names)
        for one in names[:place]
    ]


def _stages() -> list[StageRow]:
    stages = []
    for a in ARCHITECTURES:
        for m in METHODS:
            before = f"dense:{a}:{m}"
            stages.append(_stage(before, "dense", a, m))
            for k in range(1, ROUNDS + 1):
                stages.append(_stage(f"round:{a}:{m}:{k}", "round", a, m, before))
                judge = f"judge:{a}:{m}:{k}"
                for seed in ("", ":seed-1", ":seed-2"):
                    stages.append(_stage(judge + seed, "judge", a, m, before))
                stages.append(_stage(f"ticket:{a}:{m}:{k}", "ticket", a, m, judge))
                before = f"round:{a}:{m}:{k}"
    return stages


def _stage(name: str, kind: str, architecture: str, method: str, *inputs: str) -> StageRow:
    return StageRow(
        name=name,
        kind=kind,
        architecture=architecture,
        method=method,
        inputs=inputs,
        cached=False,
        steps=1,
        seconds=1.0,
    )


def _bill(architecture: str, method: str) -> Bill:
    steps = int(STEPS * ROUNDS * METHODS[method][1])
    return Bill(
        architecture=architecture,
        method=method,
        steps=steps,
        borrowed_steps=100_000 if method == "random-subset" else 0,
        samples=steps * 128,
        cep_samples=SAMPLES * ROUNDS,
        score_samples=SAMPLES if method in ("el2n", "entropy", "proxy") else 0,
        evaluation_samples=5000 * 182 * ROUNDS,
        flops=steps * 128 * 81_000_000 * 3,
        seconds=steps / 50,
        joules=steps * 2.0,
        energy_source="RAPL",
        judging_steps=STEPS * 24,
        judging_samples=STEPS * 24 * 128,
        judging_evaluation_samples=24 * (5000 * 182 + 10_000),
        judging_flops=STEPS * 24 * 128 * 81_000_000 * 3,
        judging_seconds=STEPS * 24 / 50,
        judging_joules=STEPS * 48.0,
    )
