"""Tiny ImageNet's own layout, drawn by hand, and its Parquet layout."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from prac.config.recipes import get_recipe
from prac.config.sections import DataConfig
from prac.data.dataset import ImageDataset
from prac.data.sources import open_source
from prac.errors import ConfigError

WORDS = "n01\tgoldfish, Carassius auratus\nn02\tcrane\nn03\tcrane\nn99\tentity\n"


def _save(file: Path, value: int, mode: str = "RGB") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (64, 64), value if mode == "L" else (value,) * 3).save(file, quality=100)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three classes of ten images each; the second class is grey, as some of the real ones are."""
    root = tmp_path / "tiny-imagenet-200"
    for c, name in enumerate(("n01", "n02", "n03")):
        for i in range(10):
            file = root / "train" / name / "images" / f"{name}_{i}.JPEG"
            _save(file, c * 10 + i, "L" if c == 1 else "RGB")
        (root / "train" / name / f"{name}_boxes.txt").write_text("boxes")
    for i in range(3):
        _save(root / "val" / "images" / f"val_{i}.JPEG", 100 + i)
        _save(root / "test" / "images" / f"test_{i}.JPEG", 200)
    lines = (f"val_{i}.JPEG\tn0{1 + i}\t0\t0\t9\t9\n" for i in (2, 0, 1))
    (root / "val" / "val_annotations.txt").write_text("".join(lines))
    (root / "wnids.txt").write_text("n03\nn01\nn02\n")
    (root / "words.txt").write_text(WORDS)
    return root


def _load(root: Path) -> ImageDataset:
    return open_source(DataConfig(source=f"folder:{root}")).load()


def test_images_labels_and_names(root: Path) -> None:
    dataset = _load(root)
    assert dataset.name == "tiny-imagenet-200"
    assert dataset.image_shape == (64, 64, 3)
    assert dataset.train_images[:, 0, 0, 0].tolist() == list(range(30))
    assert dataset.train_labels.tolist() == [0] * 10 + [1] * 10 + [2] * 10
    assert dataset.test_images[:, 9, 9, 2].tolist() == [100, 101, 102]
    assert dataset.test_labels.tolist() == [0, 1, 2]
    assert dataset.class_names == ("goldfish", "crane (n02)", "crane (n03)")


def test_without_the_lists_the_identifiers_are_names(root: Path) -> None:
    (root / "words.txt").unlink()
    (root / "wnids.txt").unlink()
    assert _load(root).class_names == ("n01", "n02", "n03")


def test_what_is_missing_is_named(root: Path) -> None:
    (root / "wnids.txt").write_text("n01\nn02\nn03\nn04\n")
    with pytest.raises(ConfigError, match=r"1 classes .* wnids.txt and train/ \(n04\)"):
        _load(root)
    (root / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn01\nval_9.JPEG\tn01\n")
    with pytest.raises(ConfigError, match=r"1 of 2 lines of val/val_annotations.txt.*val_9.JPEG"):
        _load(root)


def test_the_recipe_finds_it_in_the_working_folder(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root.parent)
    summary = open_source(get_recipe("tiny_imagenet").data).summary()
    assert (summary.num_train, summary.num_test) == (30, 3)


def test_its_parquet_layout(tmp_path: Path) -> None:
    """Files `train-*` and `valid-*`, structs of bytes, WordNet identifiers in the metadata."""

    def encoded(value: int) -> dict[str, object]:
        buffer = io.BytesIO()
        Image.fromarray(np.full((64, 64, 3), value, np.uint8)).save(buffer, "PNG")
        return {"bytes": buffer.getvalue(), "path": None}

    names = {"label": {"names": ["n01", "n02"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": names}})}
    for split, values in (("train", range(20)), ("valid", range(100, 104))):
        table = pa.table(
            {
                "image": [encoded(value) for value in values],
                "label": pa.array([value % 2 for value in values], pa.int64()),
            }
        ).replace_schema_metadata(metadata)
        (tmp_path / "data").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "data" / f"{split}-00000-of-00001-ab12.parquet")
    dataset = open_source(DataConfig(source=f"parquet:{tmp_path}")).load()
    assert dataset.class_names == ("n01", "n02")
    assert dataset.train_images[:, 0, 0, 0].tolist() == list(range(20))
    assert dataset.test_images[:, 5, 5, 1].tolist() == [100, 101, 102, 103]
    assert dataset.test_labels.tolist() == [0, 1, 0, 1]
