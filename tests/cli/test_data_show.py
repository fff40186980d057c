"""`prac data show`, and what plans and runs say of their data."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.pictures import pictures

from prac.cli import main, pipeline
from prac.config.sections import DataConfig
from prac.data.sources import open_source


@pytest.fixture
def birds(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    pictures(tmp_path / "birds" / "Training", ["owl", "tit"], 12)
    pictures(tmp_path / "birds" / "valid", ["owl", "tit"], 3)
    return tmp_path / "birds"


def shown(capsys, *words: str) -> dict:
    assert main(["data", "show", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_facts(birds: Path, capsys) -> None:
    told = shown(capsys, "folder:birds")
    train = np.stack(
        [np.asarray(Image.open(file)) for file in sorted((birds / "Training").rglob("*.png"))]
    )
    assert told["training_rows"] == 24
    assert (told["validation_rows"], told["test_rows"], told["test_from"]) == (2, 6, "validation")
    assert told["classes"] == ["owl", "tit"]
    assert told["class_counts"] == [12, 12]
    assert told["image_shape"] == list(train.shape[1:])
    assert np.allclose(told["mean"], train.mean(axis=(0, 1, 2)) / 255, atol=0.02)
    assert np.allclose(told["std"], train.std(axis=(0, 1, 2)) / 255, atol=0.02)
    assert told["splits"] == {"training": "Training", "test": "valid"}
    assert told["warnings"] == ["6 of 6 test images are training images too"]


def test_the_contact_sheet(birds: Path, capsys) -> None:
    """A row a class; a picture of 8 pixels is eight times as large."""
    told = shown(capsys, "folder:birds")
    sheet = np.asarray(Image.open(told["contact_sheet"]))
    dataset = open_source(DataConfig(source="folder:birds")).load()
    assert sheet.shape == (2 * 64, 10 * 64, 3)
    np.testing.assert_array_equal(sheet[:64:8, :64:8], dataset.train_images[0])
    np.testing.assert_array_equal(sheet[64::8, 64:128:8], dataset.train_images[13])
    assert main(["data", "show", "folder:birds", "--sheet", told["contact_sheet"]]) == 2
    assert "is there already" in capsys.readouterr().err


def test_for_people(birds: Path, capsys) -> None:
    assert main(["data", "show", "folder:birds", "--set", "data.test_fraction=0.5"]) == 0
    out = capsys.readouterr().out
    for text in ("training rows", "owl", "valid", "warning: 6 of 6 test images are training"):
        assert text in out


def test_a_plan_and_a_run_say_the_same_in_two_lines(birds: Path, capsys) -> None:
    (birds / "Training" / "owl" / "flat.png").unlink(missing_ok=True)
    Image.new("RGB", (8, 8), "red").save(birds / "Training" / "owl" / "flat.png")
    words = ["--data", "folder:birds", "--architectures", "conv4", "--executor", "local"]
    words += ["--epochs", "1", "--rounds", "1", "--compare", "--judge", "none"]
    assert pipeline("x", [*words, "--plan"]) == 0
    planned = capsys.readouterr().out.splitlines()[:2]
    assert planned == [
        "data birds: 25 training rows, 6 test rows (its validation split: it has no test split "
        "with labels), 2 classes, 8x8x3; training 'Training', test 'valid'",
        "data birds: 6 of 6 test images are training images too",
    ]
    assert pipeline("x", words) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == planned
    flat = "1 of 25 training images are one flat colour"
    assert f"data birds: {flat}" in out
    page = next(Path("prac-runs").rglob("report.html")).read_text()
    assert f"6 of 6 test images are training images too; {flat}." in page


def test_a_plan_refuses_what_a_run_would(birds: Path, capsys) -> None:
    words = ["--architectures", "conv4", "--plan"]
    pictures(birds.parent / "two", ["0", "1"], 1)
    for data in ("folder:two", "digits"):
        assert pipeline("x", [*words, "--data", data, "--set", "data.test_fraction=0.9999"]) == 2
        assert "data.test_fraction 0.9999" in capsys.readouterr().err


@pytest.mark.parametrize("executor", ["local", "ray"])
@pytest.mark.parametrize("option", ["--home", "--storage"])
@pytest.mark.parametrize("place", ["/proc/x", "a\0b"])
def test_a_place_that_can_not_be_is_refused_before_a_run(
    tmp_path: Path, monkeypatch, capsys, executor: str, option: str, place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--architectures", "conv4", "--rounds", "1", "--compare", "--executor", executor]
    assert pipeline("x", [*words, option, place]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert option.strip("-") in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "place", ["/proc/x", "a\0b", "x" * 5000, "file/inside", "s3://b/x", "a/" * 1500]
)
@pytest.mark.parametrize(
    "words",
    [
        ("tickets", "pull", "models:/nope/1", "--out"),
        ("tickets", "train", "models:/nope/1", "--data", "digits", "--out"),
        ("tickets", "export", "models:/nope/1", "--format", "onnx", "--out"),
        ("sets", "pull", "nope", "--out"),
        ("data", "show", "folder:nope", "--sheet"),
    ],
)
def test_a_file_that_can_not_be_written_is_refused_first(
    tmp_path: Path, monkeypatch, capsys, words: tuple[str, ...], place: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    assert main([*words, place]) == 2
    err = capsys.readouterr().err
    assert f"error: {words[-1]} " in err
    assert "can't be written" in err or "it has a null byte" in err
    assert len(err.splitlines()) == 1
