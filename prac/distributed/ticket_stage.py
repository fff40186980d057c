"""Ticket stages: bind mask, rewind weights and lineage together, with a readable description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prac.config.sections import RewindPoint
from prac.distributed import artifacts
from prac.distributed.made import Made, Running
from prac.models import build_model
from prac.report.layers import save_layers
from prac.ticket.cost import ticket_cost
from prac.ticket.format import Ticket
from prac.tracking.datasets import DataInput
from prac.tracking.models import usage, write_model
from prac.tracking.store import Metric
from prac.tracking.tickets import model_name

if TYPE_CHECKING:
    from prac.lottery.stage_config import RoundConfig


@dataclass(frozen=True, kw_only=True)
class TicketFacts:
    """What a ticket's page says; accuracies are fractions, None where it was not judged.

    flops, bytes: of `prac.ticket.cost`, dense and sparse.
    """

    architecture: str
    data: str
    method: str
    round: int
    sparsity: float
    weights_alive: int
    weights: int
    set_size: int
    num_training: int
    search_steps: int
    steps_saved: float
    test_accuracy: float | None
    validation_accuracy: float | None
    dense_test_accuracy: float | None
    rewind: str
    recipe: str
    seed: int
    image_shape: tuple[int, int, int]
    flops_dense: int
    flops_sparse: int
    bytes_dense: int
    bytes_sparse: int

    @property
    def title(self) -> str:
        """The run's name: architecture and sparsity first."""
        return f"{self.architecture} {self.sparsity:.1%} sparse, {self.method}, {self.data}"

    @property
    def registered_model(self) -> str:
        """The registered model it is a version of."""
        return model_name(self.data, self.architecture)

    def tags(self) -> dict[str, str]:
        """For the registry and for the run."""
        known: Mapping[str, Any] = {
            "architecture": self.architecture,
            "data": self.data,
            "method": self.method,
            "round": self.round,
            "sparsity": f"{self.sparsity:.6f}",
            "weights_alive": self.weights_alive,
            "set_size": self.set_size,
            "search_steps": self.search_steps,
            "steps_saved": f"{self.steps_saved:.6f}",
            "recipe": self.recipe,
            "seed": self.seed,
            "flops_dense": self.flops_dense,
            "flops_sparse": self.flops_sparse,
            "bytes_dense": self.bytes_dense,
            "bytes_sparse": self.bytes_sparse,
            "test_accuracy": _six(self.test_accuracy),
            "dense_test_accuracy": _six(self.dense_test_accuracy),
        }
        return {name: str(value) for name, value in known.items() if value is not None}

    def description(self, where: str) -> str:
        """Markdown: what it is, what it cost, how to take it from `where`."""
        accuracy = "not judged yet" if self.test_accuracy is None else f"{self.test_accuracy:.2%}"
        dense = ""
        if self.dense_test_accuracy is not None:
            dense = f" (dense network: {self.dense_test_accuracy:.2%})"
        share = self.set_size / self.num_training
        return (
            f"**{self.architecture}** on **{self.data}**, {self.sparsity:.2%} of the convolution "
            f"weights pruned: {self.weights_alive:,} of {self.weights:,} are left.\n\n"
            "| | |\n|---|---|\n"
            f"| test accuracy, trained alone from here | {accuracy}{dense} |\n"
            f"| found by | {self.method}, round {self.round}, rewound to {self.rewind} |\n"
            f"| set | {self.set_size:,} of {self.num_training:,} training samples ({share:.1%}) |\n"
            f"| SGD steps to find it | {self.search_steps:,} ({self.steps_saved:.1%} fewer than "
            "vanilla) |\n"
            f"| FLOPs of an image | {self.flops_sparse:,} of {self.flops_dense:,}, where zeros are "
            "skipped |\n"
            f"| bytes of the weights | {self.bytes_sparse:,} of {self.bytes_dense:,}, with a bit a "
            "pruned weight's place |\n"
            f"| recipe, seed | {self.recipe}, {self.seed} |\n\n"
            "```python\nimport prac\n"
            f'ticket = prac.Ticket.load("{where}")\n'
            "network = ticket.build()  # sparse, and stays so while you train it\n```\n"
        ) + ("" if self.test_accuracy is None else "\n" + usage(where, self.image_shape))


def _six(value: float | None) -> str | None:
    return None if value is None else f"{value:.6f}"


def make_ticket(running: Running) -> Made:
    """The ticket with mask m_k: what rounds 0 to k - 1 made, and its judgement if it has one."""
    stage, context = running.stage, running.context
    dataset = context.load_dataset()
    rounds = [running.values(f"round-{k}") for k in range(stage.round_index)]
    made = "mask" if "mask" in running.inputs else f"round-{stage.round_index - 1}"
    mask = running.read(made, artifacts.MASK, artifacts.read_mask)
    start = "rewind" if "rewind" in running.inputs else "round-0"
    rewind = running.read(start, artifacts.REWIND, artifacts.read_weights)
    judged = running.values("judge") if "judge" in running.inputs else {}
    dense = running.values("dense-judge") if "dense-judge" in running.inputs else {}
    proxy = [running.values("proxy")] if "proxy" in running.inputs else []
    search_steps = sum(int(values["steps"]) for values in [*rounds, *proxy])
    num_training = len(dataset.training_ids)
    samples = running.values("samples") if "samples" in running.inputs else {}
    sized = running.values("size") if "size" in running.inputs else {}
    config: RoundConfig = stage.config["dense"]
    cost = ticket_cost(
        build_model(
            stage.architecture,
            num_classes=dataset.num_classes,
            image_shape=dataset.image_shape,
            seed=0,
        ),
        mask,
        dataset.image_shape,
    )
    facts = TicketFacts(
        architecture=stage.architecture,
        data=stage.config["data_name"],
        method=stage.method,
        round=stage.round_index,
        sparsity=mask.sparsity,
        weights_alive=mask.num_alive,
        weights=mask.size,
        set_size=int((samples or sized).get("set_size", num_training)),
        num_training=num_training,
        search_steps=search_steps,
        # Vanilla spends the full budget, which round 0 was given, on each of these rounds.
        steps_saved=1 - search_steps / (int(rounds[0]["budget_steps"]) * len(rounds)),
        test_accuracy=judged.get("test_accuracy"),
        validation_accuracy=judged.get("best_accuracy"),
        dense_test_accuracy=dense.get("test_accuracy"),
        rewind=str(config.rewind or RewindPoint("init")),
        recipe=stage.config["recipe"],
        seed=config.seed,
        image_shape=dataset.image_shape,
        **vars(cost),
    )
    lineage = {
        **vars(facts),
        "num_classes": dataset.num_classes,
        "class_names": list(dataset.class_names),
        "image_shape": list(dataset.image_shape),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
        "data_fingerprint": dataset.fingerprint,
        "stage_key": stage.key,
        "transfer_from": stage.config["transfer_from"],
        "precision": config.train.precision,
    }
    trained = None
    if judged:
        trained = running.read("judge", artifacts.TRAINED, artifacts.read_weights)
    ticket = Ticket.of(mask, rewind, lineage, trained)
    ticket.verify()
    ticket.save(running.folder / "ticket")
    if trained is not None:
        write_model(ticket, running.folder / "ticket")
    if "samples" in running.inputs:
        table = running.read("samples", artifacts.SAMPLES, artifacts.read_table)
        artifacts.write_table(running.folder, artifacts.SAMPLES, table)
    save_layers(mask, facts.title, running.folder / "figures" / "layers.png")
    data = [DataInput.of(dataset)]
    if samples:
        data.append(DataInput.of_set(dataset, str(samples["digest"]), facts.set_size))
    return Made(
        values={**vars(facts)},
        metrics=_metrics(facts),
        parameters=_parameters(facts),
        facts=facts,
        data=data,
    )


def _metrics(facts: TicketFacts) -> list[Metric]:
    known = {
        "sparsity": facts.sparsity,
        "weights_left": 1 - facts.sparsity,
        "set_size": facts.set_size,
        "search_steps": facts.search_steps,
        "steps_saved": facts.steps_saved,
        "flops_sparse": facts.flops_sparse,
        "bytes_sparse": facts.bytes_sparse,
        "test_accuracy": facts.test_accuracy,
        "validation_accuracy": facts.validation_accuracy,
    }
    # Four decimals are what a column of MLflow's table has room for; the values are whole.
    return [
        Metric(name=name, value=round(value, 4))
        for name, value in known.items()
        if value is not None
    ]


def _parameters(facts: TicketFacts) -> dict[str, Any]:
    names = ("architecture", "data", "method", "round", "rewind", "recipe", "seed")
    return {name: getattr(facts, name) for name in names}
