"""The evidence program, in its quick mode on a handful of images: twins, bills, going on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from benchmarks.evidence_page import page

from prac.config.sections import DataConfig
from prac.data.sources import open_source
from prac.models.cost import dense_flops

PROGRAM = Path(__file__).parent / "evidence.py"
TWINS = {"prac": "prac, by chance", "soft": "soft, by chance"}


def _run(patterns: Path, folder: Path, *options: str) -> tuple[str, list[dict[str, Any]]]:
    """What it printed, and the rows."""
    file = folder / "rows.json"
    command = [sys.executable, str(PROGRAM), "--quick", "--data", f"folder:{patterns}", "--json",
               str(file), "--work", str(folder / "work"), *options]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, env={**os.environ}, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads(file.read_text())["rows"]


def _by_name(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["variant"]: row for row in rows}


@pytest.mark.slow
def test_one_training_of_each_beside_its_twin(patterns: Path, tmp_path: Path) -> None:
    options = ("--seeds", "0", "--starts", "rewind")
    told, rows = _run(patterns, tmp_path, *options)
    by_name = _by_name(rows)
    assert len(by_name) == len(rows) == 12
    for name in ("prac", "soft", "filter", "filter-all", "cet"):
        ours, twin = by_name[name], by_name[f"{name}, by chance"]
        assert {n: ours[n] for n in ("steps", "set_size", "sparsity", "seed", "start")} == {
            n: twin[n] for n in ("steps", "set_size", "sparsity", "seed", "start")
        }, name
    for name in ("steps", "set_size", "samples"):
        assert by_name["ccs"][name] == by_name["prac"][name]
    assert by_name["filter-all"]["set_size"] == by_name["prac"]["set_size"]
    assert by_name["filter"]["set_size"] == round(by_name["prac"]["set_size"] / 2)
    # An image that is only passed forward costs a third of one that is trained on.
    everything = by_name["dense"]["set_size"]
    once = by_name["dense"]["flops"] / by_name["dense"]["samples"] / 3
    for name, presented in (
        ("filter", by_name["prac"]["set_size"]), ("filter-all", everything),
    ):  # fmt: skip
        row, twin = by_name[name], by_name[f"{name}, by chance"]
        epochs = twin["samples"] // twin["set_size"]
        assert row["samples"] == twin["samples"] + presented * epochs
        assert row["flops"] == pytest.approx(once * (3 * twin["samples"] + presented * epochs))
        assert twin["flops"] == pytest.approx(once * 3 * twin["samples"])
    assert all(row["test"] is None for row in rows)
    text = (tmp_path / "rows.md").read_text()
    assert "| filter-all, rewind | 1 |" in text
    assert "epoch" in told
    again, same = _run(patterns, tmp_path, *options)
    assert (again, same) == ("", rows)


def test_one_round_is_trained_under_the_first_mask(patterns: Path, tmp_path: Path) -> None:
    """With another network than the recipe's."""
    by_name, page = _under_a_mask(
        patterns, tmp_path, "one_round", "soft", further=("--network", "resnet8")
    )
    assert set(by_name) == {"dense", "soft", "soft, by chance"}
    for name, row in by_name.items():
        assert row["sparsity"] == pytest.approx(0 if name == "dense" else 0.4, abs=1e-5)
    assert by_name["soft"]["steps"] == by_name["soft, by chance"]["steps"]
    assert "One round of pruning" in page
    assert "for validation, with the network resnet8. A dense" in page
    once = by_name["dense"]["flops"] / by_name["dense"]["samples"] / 3
    assert once == dense_flops(
        "resnet8", open_source(DataConfig(source=f"folder:{patterns}")).load()
    )


@pytest.mark.slow
def test_one_cut_is_trained_under_the_last_mask(patterns: Path, tmp_path: Path) -> None:
    variants = ("soft", "soft-long", "everything")
    by_name, page = _under_a_mask(patterns, tmp_path, "one_cut", *variants)
    twins = {f"{name}, by chance" for name in ("soft", "soft-long")}
    assert set(by_name) == {"dense", *variants, *twins}
    for name, row in by_name.items():
        sparsity = 0 if name == "dense" else 1 - 0.6**3
        assert row["sparsity"] == pytest.approx(sparsity, abs=1e-5)
    steps = [by_name[n]["steps"] for n in ("soft, by chance", "soft", "everything", "dense")]
    assert steps[0] == steps[1] < steps[2] == steps[3]
    # As many as fit into whole epochs.
    long, twin = by_name["soft-long"], by_name["soft-long, by chance"]
    assert steps[1] < long["steps"] == twin["steps"] <= steps[3]
    assert long["set_size"] == by_name["soft"]["set_size"]
    assert "One cut to 78.4 % sparsity" in page
    # What has no twin is held against nothing.
    assert "everything, learning-rate" not in page


def _under_a_mask(
    data: Path, folder: Path, table: str, *variants: str, further: Sequence[str] = ()
) -> tuple[dict[str, dict[str, Any]], str]:
    """The rows by variant, and the page."""
    options = ("--starts", "learning-rate", "--seeds", "10", "--test")
    _, rows = _run(data, folder, "--table", table, "--only", *variants, *options, *further)
    assert all(0 <= row["test"] <= 1 for row in rows)
    return _by_name(rows), (folder / "rows.md").read_text()


@pytest.mark.slow
def test_whole_searches_of_a_variant_its_twin_and_vanilla(patterns: Path, tmp_path: Path) -> None:
    options = ("--table", "searches", "--only", "filter", "soft, one cut", "--seeds", "10",
               "--test", "--starts", "learning-rate", "--network", "resnet8")  # fmt: skip
    told, rows = _run(patterns, tmp_path, *options)
    by_name = _by_name(rows)
    cuts = ["soft, one cut", "soft, one cut, by chance"]
    assert set(by_name) == {"dense", "filter", "filter, by chance", "vanilla", *cuts}
    ours, twin, vanilla = (by_name[n] for n in ("filter", "filter, by chance", "vanilla"))
    assert ours["steps"] == twin["steps"] < vanilla["steps"] == 4 * by_name["dense"]["steps"]
    assert ours["samples"] > twin["samples"]
    # The dense run and one round on a part of the samples.
    cut, by_chance = (by_name[name] for name in cuts)
    assert by_name["dense"]["steps"] < cut["steps"] == by_chance["steps"] <= vanilla["steps"] / 2
    for row in (ours, twin, vanilla, *(by_name[name] for name in cuts)):
        assert row["sparsity"] == pytest.approx(1 - 0.6**3, abs=1e-4)
    # Networks as found, the dense one too: no training is for judging.
    assert all(0 <= row["test"] <= 1 for row in rows)
    assert "judge" in told
    assert "judge:resnet8:prac:0:as-found" in told
    assert "airbench8s" not in told
    assert not [
        line for line in told.splitlines() if line.startswith("judge") and ": epoch" in line
    ]
    again, same = _run(patterns, tmp_path, *options)
    assert (again, same) == ("", rows)
    # Vanilla in one cut goes on from the same dense run.
    only = ["vanilla, one cut" if option == "filter" else option for option in options]
    told, rows = _run(patterns, tmp_path, *only)
    assert "dense:resnet8:prac starts" not in told
    plain = _by_name(rows)["vanilla, one cut"]
    assert plain["steps"] == 2 * by_name["dense"]["steps"]
    assert plain["sparsity"] == pytest.approx(1 - 0.6**3, abs=1e-4)
    assert len(rows) == len(same) + 1


@pytest.mark.slow
def test_sets_of_one_network_are_handed_to_others(patterns: Path, tmp_path: Path) -> None:
    _, own = _run(patterns, tmp_path, "--only", "prac", "--starts", "learning-rate", "--seeds", "0")
    size = _by_name(own)["prac"]["set_size"]
    (tmp_path / "rows.json").unlink()
    told, rows = _run(patterns, tmp_path, "--table", "transfer", "--seeds", "0")
    # The network whose sets are handed over was trained for the other table.
    assert "airbench8s, dense" not in told
    by_name = _by_name(rows)
    for name in ("vgg8s", "resnet20s"):
        dense, mine, given, chance, everything = (
            by_name[f"{name}, {way}"]
            for way in ("dense", "own", "transferred", "by chance", "everything")
        )
        assert given["set_size"] == chance["set_size"] == size
        assert given["steps"] == chance["steps"] < everything["steps"] == dense["steps"]
        assert mine["set_size"] != size
    page = (tmp_path / "rows.md").read_text()
    assert page.startswith("# Do the sets of one network serve others?")
    assert "| resnet20s, transferred, learning-rate | 1 |" in page
    assert "| vgg8s, own, learning-rate | 1 |" in page


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seeds", "2", "11", "--test"], "--test is for fresh seeds"),
        (["--table", "searches"], "whole searches are for --only 2 variants at most"),
        (["--only", "soft, one cut"], "soft, one cut is of whole searches"),
        (["--table", "searches", "--only", "everything"], "whole searches run vanilla beside each"),
        (["--network", "resnet9"], "--network: 'resnet9' is none of vgg8s, conv4, "),
        (["--table", "transfer", "--network", "resnet20s"], "hands over the sets of airbench8s"),
    ],
)
def test_what_the_rule_forbids(tmp_path: Path, options: list[str], said: str) -> None:
    command = [sys.executable, str(PROGRAM), "--data", "digits", "--json", str(tmp_path / "x.json")]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert said in done.stderr
    assert not list(tmp_path.iterdir())


def test_the_page_s_statistics_by_hand() -> None:
    """Differences of 1, 2 and 3 points: t is 2 / (1 / sqrt 3), with two degrees of freedom."""
    rows = [
        {"variant": name, "start": "rewind", "seed": seed, "sparsity": 0.4, "set_size": 10,
         "steps": 5, "samples": 50, "flops": 3, "seconds": 1.0, "validation": accuracy,
         "test": None}
        for seed in range(3)
        for name, accuracy in (("prac", 0.81 + seed / 100), ("prac, by chance", 0.80))
    ]  # fmt: skip
    told = page(rows, TWINS, "one_round")
    # 4.303 of Student's table; p = 1 - t / sqrt(t * t + 2).
    low, high = 2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5
    p = 1 - 12**0.5 / 14**0.5
    cells = f"| +1.00, +2.00, +3.00 | +2.00 | {low:+.2f} to {high:+.2f} | {p:.3f} |"
    assert f"| prac, rewind | 3 {cells}" in told
    assert "40.0" in told


def test_one_cut_is_held_against_vanilla_in_one_cut() -> None:
    of = {"soft, one cut": 0.9, "soft": 0.92, "vanilla": 0.93, "vanilla, one cut": 0.905}
    rows = [
        {"variant": name, "start": "learning-rate", "seed": seed, "sparsity": 0.4, "set_size": 10,
         "steps": 5, "samples": 50, "flops": 3, "seconds": 1.0, "validation": 0.5,
         "test": accuracy + seed / 1000 * (name == "soft, one cut")}
        for seed in (10, 11, 12)
        for name, accuracy in of.items()
    ]  # fmt: skip
    three, one = page(rows, TWINS, "searches").split(
        "## Each against vanilla, one cut, test accuracy, in points"
    )
    assert "| soft, one cut, learning-rate | 3 | +0.50, +0.60, +0.70 | +0.60 | " in one
    assert one.count("learning-rate | 3 |") == 1
    assert "| vanilla, one cut, learning-rate | 3 | -2.50, -2.50, -2.50 | -2.50 |" in three


def test_whole_searches_are_held_against_vanilla_too() -> None:
    rows = [
        {"variant": name, "start": start, "seed": seed, "sparsity": 0.4, "set_size": 10,
         "steps": 5, "samples": 50, "flops": 3, "seconds": 1.0, "validation": 0.5, "test": accuracy}
        for seed in (10, 11, 12)
        for name, start, accuracy in (
            ("dense", "", 0.7), ("soft", "learning-rate", 0.9 + seed / 1000),
            ("soft, by chance", "learning-rate", 0.9), ("vanilla", "learning-rate", 0.915))
    ]  # fmt: skip
    told = page(rows, TWINS, "searches")
    twin, vanilla = told.split("## Each against vanilla, test accuracy, in points")
    assert "| soft, learning-rate | 3 | +1.00, +1.10, +1.20 | +1.10 | +0.85 to +1.35 |" in twin
    # 0.1 points is one deviation of the differences: 4.303 * 0.1 / sqrt(3).
    assert "| soft, learning-rate | 3 | -0.50, -0.40, -0.30 | -0.40 | -0.65 to -0.15 |" in vanilla
    assert "| soft, by chance, learning-rate | 3 | -1.50, -1.50, -1.50 | -1.50 |" in vanilla
    assert "| vanilla, " not in vanilla
    assert "| dense, " not in vanilla
    none = page([row for row in rows if row["variant"] != "vanilla"], TWINS, "searches")
    assert "against vanilla" not in none
