"""Hand-made results: three architectures, three methods, nine rounds, every number plain."""

from __future__ import annotations

import io

from PIL import Image

from prac.analysis.results import Bill, DistanceRow, HardSample, Results, RoundRow, StageRow

ARCHITECTURES = ("resnet8", "resnet20s", "vgg16")
METHODS = ("prac", "vanilla", "random-subset")
NUM_ROUNDS = 8
NUM_SAMPLES = 45_000
SET_SIZES = (45_000, 24_168, 21_728, 19_838, 18_161, 16_712, 16_026, 15_202, 14_880)
# Judged in rounds 2, 5 and 8 (sparsity 36, 67.2 and 83.2 %), in thousandths; dense is 920.
JUDGED = {
    "resnet8": {
        "prac": (919, 914, 880),
        "vanilla": (921, 918, 915),
        "random-subset": (910, 899, 860),
    },
    "resnet20s": {
        "prac": (905, 890, 860),
        "vanilla": (921, 918, 915),
        "random-subset": (906, 891, 861),
    },
    "vgg16": {
        "prac": (921, 919, 917),
        "vanilla": (921, 920, 918),
        "random-subset": (915, 900, 880),
    },
}


def _trained_by(architecture: str, method: str, number: int) -> str:
    """Methods that stop early share the dense run."""
    if number == 0:
        return f"dense:{architecture}:{'vanilla' if method == 'vanilla' else 'prac'}"
    return f"round:{architecture}:{method}:{number}"


def make_row(
    architecture: str,
    method: str,
    number: int,
    *,
    test: float | tuple[float, ...] | None = None,
    trained: bool = True,
    search_steps: int | None = None,
    saved: float | None = None,
) -> RoundRow:
    """One row; vanilla takes 1,000 steps a round, the others 1,000 and then 400.

    test: test accuracies, one for each seed.
    """
    tested = test if isinstance(test, tuple) else () if test is None else (test,)
    thrifty = method != "vanilla"
    slope = {"prac": 0.003, "vanilla": 0.001}.get(method, 0.005)
    has_parts = method == "prac" and number > 0
    size = SET_SIZES[number] if thrifty else NUM_SAMPLES
    steps = 400 if thrifty and number else 1000
    paid = 1000 * number if not thrifty else (1000 + 400 * (number - 1) if number else 0)
    paid = paid if search_steps is None else search_steps
    return RoundRow(
        architecture=architecture,
        method=method,
        round=number,
        trained=trained,
        sparsity=1 - 0.8**number,
        weights_left=round(270_000 * 0.8**number),
        set_size=size,
        cet_size=size - 1000 if has_parts else None,
        cep_size=4000 if has_parts else None,
        overlap=3000 if has_parts else None,
        epochs=(30 if thrifty else 50) if trained else 0,
        budget_epochs=50 if trained else 0,
        steps=steps if trained else 0,
        search_steps=paid,
        steps_saved=saved
        if saved is not None
        else (1 - paid / (1000 * number) if number else None),
        validation_accuracy=0.93 - slope * number if trained else None,
        best_epoch=20 if trained else None,
        test_accuracies=tested,
        validation_accuracies=tested,
        seconds=12.5,
        stage=_trained_by(architecture, method, number) if trained else "",
        ticket=f"models:/{architecture}/{number}" if tested else None,
        flops_sparse=round(80_000_000 * 0.8**number) if tested else None,
        bytes_sparse=round(1_080_000 * 0.8**number) if tested else None,
    )


def make_results(**changes: object) -> Results:
    """Results of searches without anything but rows; `changes` replace fields.

    `dense_test_accuracy` may be given as one number an architecture.
    """
    values: dict[str, object] = {
        "title": "PrAC tickets on CIFAR-10",
        "data": "CIFAR-10",
        "recipe": "cifar10_resnet20s",
        "num_training_samples": NUM_SAMPLES,
        "num_classes": 10,
        "tolerance": 0.08,
        "seed": 0,
        "settings": {"scaling": "epochs", "learning rate": "0.1"},
        "rows": (),
        "judging_seeds": (0,),
        "dense_test_accuracies": {},
    }
    if "dense_test_accuracy" in changes:
        dense: dict[str, float] = changes.pop("dense_test_accuracy")  # type: ignore[assignment]
        changes["dense_test_accuracies"] = {name: (value,) for name, value in dense.items()}
    # Both splits have the same accuracies where a test says nothing else.
    changes.setdefault("dense_validation_accuracies", changes.get("dense_test_accuracies", {}))
    return Results(**(values | changes))  # type: ignore[arg-type]


def make_png(shade: int) -> bytes:
    """An 8 x 8 picture: a ramp from a shade."""
    image = Image.new("L", (8, 8))
    image.putdata([(shade + 9 * (k % 8) + 14 * (k // 8)) % 256 for k in range(64)])
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _rows() -> tuple[RoundRow, ...]:
    rows = []
    for architecture in ARCHITECTURES:
        for method in METHODS:
            tested = dict(zip((2, 5, 8), JUDGED[architecture][method], strict=True))
            for number in range(NUM_ROUNDS + 1):
                test = tested[number] / 1000 if number in tested else None
                rows.append(
                    make_row(architecture, method, number, test=test, trained=number < NUM_ROUNDS)
                )
    return tuple(rows)


def _distances() -> tuple[DistanceRow, ...]:
    return tuple(
        DistanceRow(
            architecture=architecture,
            method="prac",
            round=number,
            epoch=epoch,
            distance=0.3 / (1 + epoch * (1 + number) / 3) + 0.02,
        )
        for architecture in ARCHITECTURES
        for number in range(NUM_ROUNDS)
        for epoch in range(1, 20 - number)
    )


def _hardest() -> tuple[HardSample, ...]:
    return tuple(
        HardSample(
            architecture=architecture,
            sample_id=100 + place,
            label=("cat", "dog", "automobile")[place % 3],
            presentations=18,
            forgotten=9 - place // 2,
            never_learned=place < 3,
            mean_margin=-1.5 + place / 10,
            png=make_png(20 * place),
        )
        for architecture in ARCHITECTURES[:2]
        for place in range(12)
    )


def _stages() -> tuple[StageRow, ...]:
    stages = [_stage("split", "data", "", "", ())]
    for architecture in ARCHITECTURES:
        dense = f"{architecture}/dense"
        stages.append(_stage(dense, "train", architecture, "dense", ("split",), cached=True))
        for method in METHODS:
            before = dense
            for number in range(1, 5 if method == "random-subset" else 7):
                start = f"{architecture}/{method}/round {number}"
                stages.append(_stage(start, "train", architecture, method, (before,)))
                before = f"{architecture}/{method}/select {number}"
                inputs = (start, dense) if method == "prac" else (start,)
                stages.append(_stage(before, "select", architecture, method, inputs))
                if number % 3 == 0:
                    name = f"{architecture}/{method}/judge {number}"
                    stages.append(_stage(name, "judge", architecture, method, (start,)))
    return tuple(stages)


def _stage(
    name: str,
    kind: str,
    architecture: str,
    method: str,
    inputs: tuple[str, ...],
    *,
    cached: bool = False,
) -> StageRow:
    return StageRow(
        name=name,
        kind=kind,
        architecture=architecture,
        method=method,
        inputs=inputs,
        cached=cached,
        steps=1000,
        seconds=0.1 + 0.2,
        made_by={"prac": "0.1.0", "torch": "2.9.0"},
    )


def full_results() -> Results:
    """Results with every part that a report shows, all made by hand."""
    return make_results(
        rows=_rows(),
        dense_test_accuracy=dict.fromkeys(ARCHITECTURES, 0.92),
        distances=_distances(),
        hardest=_hardest(),
        recorded=ARCHITECTURES[:2],
        stages=_stages(),
        bills=tuple(
            Bill(
                architecture=architecture,
                method=method,
                steps=3800,
                borrowed_steps=0 if method != "random-subset" else 3800,
                samples=480_000,
                cep_samples=360_000,
                score_samples=0,
                evaluation_samples=200_000,
                flops=123_456_789_000_000_000,
                seconds=4000.5,
                joules=None,
                energy_source="processors not measured: this machine has no RAPL counters",
                judging_steps=3000,
                judging_samples=384_000,
                judging_evaluation_samples=60_000,
                judging_flops=98_765_000_000_000,
                judging_seconds=2000.0,
                judging_joules=None,
            )
            for architecture in ARCHITECTURES
            for method in METHODS
        ),
        mlflow_link="http://localhost:5000/#/experiments/1/runs/abc",
        versions={"prac": "0.1.0", "torch": "2.9.0"},
    )
