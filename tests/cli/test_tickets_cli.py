"""`prac tickets`, `prac sets`, `prac gc`, `prac complete` as a user types them."""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient

import prac
from prac.cli import main
from prac.data.dataset import ImageDataset

NAME = "prac-digits-resnet8"


@pytest.fixture
def cli(
    ticket_home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Runs a command in a folder of its own, over the store of `ticket_home`."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(*words: str, home: bool = True, status: int = 0) -> Any:
        capsys.readouterr()
        options = ["--home", str(ticket_home)] if home else []
        try:
            got = main([*words, *options])
        except SystemExit as ended:
            got = int(ended.code or 0)
        output = capsys.readouterr()
        assert got == status, output
        if status:
            assert output.err.startswith("error: ")
            assert output.err.count("\n") == 1
            return output.err
        return json.loads(output.out.splitlines()[-1]) if "--json" in words else output.out

    return run


def test_list_shows_a_table_or_json(cli: Any) -> None:
    text = cli("tickets", "list")
    assert "prac-digits-resnet8/1" in text
    assert "73.8%" in text
    found = cli("tickets", "list", "--json", "--min-sparsity", "70%", "--sort", "sparsity")
    assert [t["method"] for t in found["tickets"]].count("vanilla") == 1
    assert all(t["sparsity"] > 0.7 for t in found["tickets"])
    assert "nothing" in cli("tickets", "list", "--architecture", "vgg19")


def test_show_and_verify(cli: Any) -> None:
    facts = cli("tickets", "show", NAME, "--json")
    assert facts["ticket"] == f"models:/{NAME}/1"
    assert facts["architecture"] == "resnet8"
    text = cli("tickets", "show", f"{NAME}@best")
    assert "stem.0.weight" in text
    assert re.search(rf"flops sparse +{facts['flops_sparse']:,}\n", text)
    # ResNet-8 on 8x8 digits: 0.75 million multiply-adds; 0.8^3 of the weights are left.
    assert facts["flops_dense"] == 1_494_272
    # Inside its three blocks: 16, 32 and 64 channels; half of the weights are left, so none died.
    assert (facts["channels_died"], facts["channels_inside"]) == (0, 112)
    assert "channels_died" not in cli("tickets", "show", f"{NAME}/2", "--json")
    assert 0.3 < facts["flops_sparse"] / facts["flops_dense"] < 0.9
    assert 0.5 < facts["bytes_sparse"] / facts["bytes_dense"] < 0.6
    checked = cli("tickets", "verify", NAME, "--data", "digits", "--json")
    assert checked["measured_accuracy"] == pytest.approx(checked["recorded_accuracy"], abs=1e-3)
    assert checked["files_as_registered"] == 11
    assert "not judged" in cli("tickets", "verify", f"{NAME}/2", "--data", "digits", status=2)
    other = ("--set", "data.split_seed=3")
    assert "split otherwise" in cli("tickets", "verify", NAME, "--data", "digits", *other, status=2)


def test_pull_is_whole_and_replaces_only_by_force(cli: Any, tmp_path: Path) -> None:
    out = tmp_path / "taken"
    cli("tickets", "pull", NAME, "--out", str(out))
    cli("tickets", "verify", str(out))
    assert "--force" in cli("tickets", "pull", f"{NAME}/2", "--out", str(out), status=2)
    cli("tickets", "pull", f"{NAME}/2", "--out", str(out), "--force")
    assert prac.Ticket.load(out).sparsity > 0.7
    assert sorted(p.name for p in tmp_path.iterdir()) == ["taken"]
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a").write_text("mine")
    cli("tickets", "pull", NAME, "--out", str(tmp_path / "letters"), status=2)


def test_a_changed_ticket_is_refused(cli: Any, tmp_path: Path) -> None:
    cli("tickets", "pull", NAME, "--out", str(tmp_path / "t"))
    mask = tmp_path / "t" / "mask.safetensors"
    mask.write_bytes(mask.read_bytes()[:-1] + b"\7")
    assert "checksum" in cli("tickets", "verify", str(tmp_path / "t"), status=2)


def test_train_reaches_a_fair_accuracy_and_stays_sparse(cli: Any, tmp_path: Path) -> None:
    out = tmp_path / "trained"
    words = ("tickets", "train", f"{NAME}/2", "--data", "digits", "--epochs", "3", "--json")
    facts = cli(*words, "--out", str(out))
    ticket = prac.Ticket.load(out)
    ticket.verify()
    assert ticket.trained is not None
    assert facts["test_accuracy"] == ticket.lineage["test_accuracy"] > 0.3
    again = cli("tickets", "verify", str(out), "--data", "digits", "--json")
    assert again["measured_accuracy"] == pytest.approx(facts["test_accuracy"], abs=3e-3)
    assert "--force" in cli(*words, "--out", str(out), status=2)


def test_export_is_checked(cli: Any, tmp_path: Path) -> None:
    file = tmp_path / "network.safetensors"
    made = cli("tickets", "export", NAME, "--format", "safetensors", "--out", str(file), "--json")
    assert made["weights"] == "trained"
    assert made["largest_difference"] == 0
    assert made["channels_removed"] is None
    words = ("tickets", "export", NAME, "--format", "safetensors", "--out", str(file), "--shrink")
    before = file.read_bytes()
    assert "--force replaces it" in cli(*words, status=2)
    assert file.read_bytes() == before
    words = (*words, "--force")
    shrunk = cli(*words, "--json")
    assert shrunk["channels_removed"] >= 0
    assert shrunk["parameters"] <= made["parameters"]
    assert "channels fewer" in cli(*words)
    assert "only trained" in cli(*words, "--weights", "rewind", status=2)
    words = ("tickets", "export", NAME, "--format", "tflite", "--out", str(file))
    assert "invalid choice" in cli(*words, status=2)


def test_compare_counts_what_two_masks_share(cli: Any) -> None:
    same = cli("tickets", "compare", NAME, f"{NAME}/1", "--json")
    assert same["intersection_over_union"] == 1
    nested = cli("tickets", "compare", NAME, f"{NAME}/2", "--json")
    # The smaller one comes from the same weights, so it is inside the larger.
    assert nested["share_of_b"] == 1
    assert nested["intersection_over_union"] == pytest.approx(nested["b"] / nested["a"])
    assert "all" in cli("tickets", "compare", NAME, f"{NAME}/2")
    assert "one architecture" in " ".join(
        cli("tickets", "compare", NAME, "prac-digits-vgg8s", status=2).split()
    )


def test_mistakes_are_one_line(cli: Any, tmp_path: Path) -> None:
    assert "known: prac-digits-resnet8" in cli("tickets", "show", "prac-digits-nope", status=2)
    assert "no ticket" in cli("tickets", "show", str(tmp_path), status=2)
    assert "0 to 1" in cli("tickets", "list", "--min-sparsity", "120", status=2)
    words = ("tickets", "list", "--home", str(tmp_path / "nowhere"))
    assert "--home" in cli(*words, home=False, status=2)
    assert not (tmp_path / "nowhere").exists()


def test_three_lines_train_a_network_without_ray(ticket_home: Path) -> None:
    lines = f"""
import sys, torch, prac
network = prac.Ticket.load("models:/{NAME}@best").build()
optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
for _ in range(3):
    loss = network(torch.rand(8, 1, 8, 8)).square().mean()
    optimiser.zero_grad(); loss.backward(); optimiser.step()
zeros = sum(int((p == 0).sum()) for p in network.parameters())
print(zeros, "ray" in sys.modules)
"""
    environment = {
        "PATH": "/usr/bin",
        "OMP_NUM_THREADS": "1",
        "MLFLOW_TRACKING_URI": f"sqlite:///{ticket_home / 'mlflow.db'}",
    }
    done = subprocess.run(
        [sys.executable, "-c", lines], env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    zeros, ray = done.stdout.split()
    assert int(zeros) >= 36_000
    assert ray == "False"


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".parquet", ".arrow"])
def test_a_set_found_elsewhere_is_checked(
    cli: Any, digits_data: ImageDataset, tmp_path: Path, suffix: str
) -> None:
    ids = digits_data.training_ids[::7]
    file = tmp_path / f"ids{suffix}"
    table = pa.table({"sample_id": ids})
    if suffix == ".txt":
        file.write_text("\n".join(map(str, ids)) + "\n")
    elif suffix == ".csv":
        file.write_text("sample_id,score\n" + "".join(f"{i},0.5\n" for i in ids))
    elif suffix == ".parquet":
        pq.write_table(table, file)
    else:
        pa.feather.write_feather(table, file)
    facts = cli("sets", "check", str(file), "--data", "digits", "--json", home=False)
    assert facts["samples"] == len(ids)
    assert sum(facts["classes"].values()) == len(ids)


def test_a_set_of_wrong_rows_is_refused(
    cli: Any, digits_data: ImageDataset, tmp_path: Path
) -> None:
    held_out = int(digits_data.validation_ids[0])
    for text, message in (
        (f"{digits_data.training_ids[0]}\n{held_out}\n", "held out"),
        ("3\n99999\n", "99999"),
        ("3\n3\n", "more than once"),
        ("three\n", "can't be read"),
        ("-1\n", "0 to"),
    ):
        (tmp_path / "ids.txt").write_text(text)
        words = ("sets", "check", str(tmp_path / "ids.txt"), "--data", "digits")
        assert message in cli(*words, home=False, status=2)


def test_sets_and_garbage_of_an_empty_store(cli: Any, tmp_path: Path) -> None:
    assert cli("sets", "list", "--json") == {"sets": [], "refused": []}
    assert "known: none" in cli("sets", "show", "12345678", status=2)
    assert cli("gc", "--json") == {"deleted": False, "garbage": []}


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_the_commands(cli: Any, shell: str) -> None:
    script = cli("complete", shell, home=False)
    assert "tickets" in script
    assert "min" in script


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("tickets li", ["list"]),
        ("run --architectures conv", ["conv4"]),
        ("run --architectures conv4 vgg8", ["vgg8s"]),
        ("sweep --recipe dig", ["digits"]),
        ("run --data dig", ["digits"]),
    ],
)
def test_bash_completes(cli: Any, tmp_path: Path, typed: str, offered: list[str]) -> None:
    (tmp_path / "prac").write_text(cli("complete", "bash", home=False))
    at = len(typed.split())
    words = f'COMP_WORDS=(prac {typed}); COMP_CWORD={at}; _shtab_prac; echo "${{COMPREPLY[@]}}"'
    done = subprocess.run(
        ["bash", "-c", f"source {tmp_path}/prac; {words}"], capture_output=True, text=True
    )
    assert sorted(done.stdout.split()) == offered, done.stderr


def test_a_pulled_set_has_its_reasons(tmp_path: Path) -> None:
    from prac.selection.prac_set import PracSet, Reason
    from prac.selection.set_file import read_set_file, write_set

    chosen = PracSet.from_reasons(
        {Reason.FORGOTTEN: np.array([1, 5]), Reason.DISAGREED: np.array([5, 9])}
    )
    for name in ("set.parquet", "set.arrow"):
        write_set(chosen, tmp_path / name, {"data": "digits"})
        assert read_set_file(tmp_path / name) == chosen
    assert pq.read_schema(tmp_path / "set.parquet").metadata[b"data"] == b"digits"


def test_a_version_copied_to_another_model_is_a_ticket(
    cli: Any, ticket_home: Path, tmp_path: Path
) -> None:
    """MLflow's way to promote: `copy_model_version`, then an alias on the copy."""
    client = MlflowClient(f"sqlite:///{ticket_home}/mlflow.db")
    client.copy_model_version(f"models:/{NAME}/1", "vision-prod")
    client.set_registered_model_alias("vision-prod", "champion", "1")
    where, out = "models:/vision-prod@champion", str(tmp_path / "pulled")
    try:
        shown = cli("tickets", "show", where, "--json")
        assert shown["ticket"] == "models:/vision-prod/1"
        checked = cli("tickets", "verify", where, "--json")
        assert checked["files_as_registered"] > 3
        assert cli("tickets", "pull", where, "--out", out, "--json")["folder"] == out
        listed = cli("tickets", "list", "--json")["tickets"]
        assert "models:/vision-prod/1" in [ticket["where"] for ticket in listed]
    finally:
        client.delete_registered_model("vision-prod")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (1, ("tickets", "pull", NAME, "--out", "new")),
        (2, ("tickets", "export", NAME, "--format", "safetensors", "--out", "new.safetensors")),
    ],
)
def test_a_disk_that_is_full_is_a_line_and_nothing_half_written(
    cli: Any, status: int, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        said = cli(*words, status=status)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "File too large" in said
    assert len(said) < 400
    assert list(tmp_path.iterdir()) == []
    # There is room again.
    assert cli(*words, "--json")
