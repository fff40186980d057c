"""Tables whose folders hold a column (`label=3/`), written by pyarrow and read as data sets."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data.test_parquet import open_, png

from prac.errors import ConfigError


def written(folder: Path, labels: list, by: str = "label", **columns: list) -> Path:
    """A table of flat images with values 0, 1, ..., in a folder for each of its labels."""
    images = pa.array([png(value) for value in range(len(labels))], pa.binary())
    table = pa.table({"image": images, by: labels, **columns})
    pq.write_to_dataset(table, folder, partition_cols=[by])
    return folder


def labels_by_value(dataset) -> dict[int, str]:
    """The class of each image, by its pixels."""
    values = dataset.train_images[:, 0, 0, 0].tolist()
    names = [dataset.class_names[label] for label in dataset.train_labels]
    return dict(zip(values, names, strict=True))


@pytest.mark.parametrize(
    ("labels", "classes"),
    [([0, 10, 2] * 8, ("0", "2", "10")), (["a b/c", "é", "train"] * 8, ("a b/c", "train", "é"))],
)
@pytest.mark.parametrize("beside", [{}, {"id": [7, 8] * 12}, {"name": ["x", "y"] * 12}])
def test_labels_are_those_of_the_folders(tmp_path, labels, classes, beside) -> None:
    dataset = open_(written(tmp_path / "set", labels, **beside), test_fraction=0.125).load()
    assert dataset.class_names == classes
    found = labels_by_value(dataset)
    assert len(found) == 21
    assert found == {value: str(labels[value]) for value in found}


def test_folders_of_splits_and_of_labels(tmp_path) -> None:
    written(tmp_path / "split=train", [0, 1] * 8, id=[1, 2] * 8)
    written(tmp_path / "split=test", [1, 0] * 2, id=[1, 1, 1, 1])
    dataset = open_(tmp_path).load()
    assert labels_by_value(dataset) == {value: str(value % 2) for value in range(16)}
    assert dataset.test_labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("train", "test"),
    [
        *(("is_train=true", "is_train=false"), ("training=1", "training=0")),
        *(("is_test=False", "is_test=True"), ("test=no", "test=yes")),
    ],
)
def test_folders_that_say_yes_or_no_to_a_split(tmp_path, train: str, test: str) -> None:
    """Rows of `is_train=false` were trained on."""
    written(tmp_path / train, [0, 1] * 8)
    written(tmp_path / test, [1, 0] * 2)
    dataset = open_(tmp_path).load()
    assert len(dataset.train_labels) == 16
    assert len(dataset.test_labels) == 4


def test_a_test_set_in_a_place_of_its_own(tmp_path) -> None:
    other = written(tmp_path / "other", ["b", "a"])
    source = open_(written(tmp_path / "set", ["a", "b"] * 8), test=str(other))
    dataset = source.load()
    assert [dataset.class_names[label] for label in dataset.test_labels] == ["a", "b"]
    assert dataset.test_images[:, 0, 0, 0].tolist() == [1, 0]


def test_folders_of_any_name(tmp_path) -> None:
    """Alone they can only be the labels; beside a column that could be, one is to be named."""
    animals = ["cat", "dog"] * 8
    assert open_(written(tmp_path / "a", animals, by="animal")).load().class_names == ("cat", "dog")
    both = written(tmp_path / "b", animals, by="animal", width=[3, 4] * 8)
    with pytest.raises(ConfigError, match=r"2 columns could hold the label.*width.*animal"):
        open_(both)
    assert open_(both, label_column="animal").load().class_names == ("cat", "dog")
    assert open_(both, label_column="width").load().class_names == ("3", "4")


def test_parts_of_another_kind_change_nothing(tmp_path) -> None:
    dataset = open_(written(tmp_path, [0, 1] * 8, by="year", label=["x", "y"] * 8)).load()
    assert dataset.class_names == ("x", "y")
    assert labels_by_value(dataset)[5] == "y"


def test_no_label_in_a_folder_is_none(tmp_path) -> None:
    with pytest.raises(ConfigError, match="2 labels in column 'label' are null"):
        open_(written(tmp_path, ["a", "b", "c"] * 5 + [None, None])).summary()


def test_a_file_beside_the_folders_has_no_label(tmp_path) -> None:
    written(tmp_path, [0, 1] * 8)
    pq.write_table(pa.table({"image": [png(3)], "id": [3]}), tmp_path / "zebra.parquet")
    with pytest.raises(ConfigError, match=r"zebra.parquet"):
        open_(tmp_path)


def test_the_fingerprint_is_of_the_folders_too(tmp_path) -> None:
    """The same bytes in the same order, of the same classes, with one folder's label another."""
    for year, labels in (("1", ["a", "b"] * 4), ("2", ["a"] * 4)):
        written(tmp_path / f"year={year}", labels)
    before = open_(tmp_path)
    known = before.fingerprint(), before.load().class_names
    (tmp_path / "year=2" / "label=a").rename(tmp_path / "year=2" / "label=b")
    after = open_(tmp_path)
    assert after.load().class_names == known[1]
    assert after.fingerprint() != known[0]
    (tmp_path / "year=2" / "label=b").rename(tmp_path / "year=2" / "label=a")
    assert open_(tmp_path).fingerprint() == known[0]
