"""Small Parquet files with known pixels, and CIFAR-10 where it is at hand."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from support.shared import CIFAR10

from prac.config.sections import DataConfig
from prac.data.parquet import ParquetSource
from prac.errors import ConfigError


def png(value: int, shape: tuple[int, ...] = (4, 4, 3)) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full(shape, value, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def write(file: Path, values, labels, *, names=None, label="label", nested=True) -> Path:
    """One flat image for each value; bytes and None are written as they are."""
    images = [png(v) if isinstance(v, int) else v for v in values]
    column = pa.array(images, pa.binary())
    if nested:
        column = pa.array(
            [{"bytes": image, "path": None} for image in images],
            pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
        )
    table = pa.table({"image": column, label: pa.array(labels, pa.int64())})
    if names:
        features = {"info": {"features": {label: {"names": names}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(features)})
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file)
    return file


def open_(path: Path, **options) -> ParquetSource:
    return ParquetSource(path, DataConfig(source=f"parquet:{path}", **options))


@pytest.mark.parametrize("nested", [True, False])
@pytest.mark.parametrize("layout", ["data/{}-00000-of-00001", "{}/0000", "{}"])
def test_pixels_labels_and_splits(tmp_path, layout: str, nested: bool) -> None:
    labels = [0, 1] * 10
    write(tmp_path / f"{layout.format('train')}.parquet", range(20), labels, nested=nested)
    write(tmp_path / f"{layout.format('test')}.parquet", [90, 91], [1, 0], nested=nested)
    source = open_(tmp_path)
    dataset, summary = source.load(), source.summary()
    assert dataset.train_images[:, 3, 3, 2].tolist() == list(range(20))
    assert dataset.train_labels.tolist() == labels
    assert dataset.test_images[:, 0, 0, 0].tolist() == [90, 91]
    assert dataset.test_labels.tolist() == [1, 0]
    assert (summary.num_train, summary.num_test, summary.image_shape) == (20, 2, (4, 4, 3))
    assert summary.class_names == dataset.class_names == ("0", "1")


def test_rows_go_on_over_files_in_order(tmp_path) -> None:
    write(tmp_path / "train-00001.parquet", range(10, 20), [1] * 10)
    write(tmp_path / "train-00000.parquet", range(10), [0] * 10)
    write(tmp_path / "validation-00000.parquet", [7], [1])
    dataset = open_(tmp_path).load()
    assert dataset.train_images[:, 0, 0, 0].tolist() == list(range(20))
    assert dataset.test_images[:, 0, 0, 0].tolist() == [7]


def test_validation_is_left_out_where_there_is_a_test_split(tmp_path) -> None:
    write(tmp_path / "train.parquet", range(20), [0, 1] * 10)
    write(tmp_path / "test.parquet", [7], [1])
    write(tmp_path / "validation.parquet", [8], [1])
    assert open_(tmp_path).load().test_images[:, 0, 0, 0].tolist() == [7]


def test_one_file_is_split(tmp_path) -> None:
    file = write(tmp_path / "My Set.parquet", range(20), [0, 1] * 10)
    source = open_(file, test_fraction=0.3)
    dataset, summary = source.load(), source.summary()
    assert source.name == "my-set"
    assert (summary.num_train, summary.num_test) == (14, 6)
    assert dataset.train_labels.sum() == 7
    train, test = dataset.train_images[:, 0, 0, 0], dataset.test_images[:, 0, 0, 0]
    assert sorted([*train, *test]) == list(range(20))
    assert train.tolist() == sorted(train)


def test_class_names_come_from_the_schema(tmp_path) -> None:
    write(tmp_path / "train.parquet", range(20), [0, 1] * 10, names=["cat", "dog", "owl"])
    assert open_(tmp_path).summary().class_names == ("cat", "dog", "owl")
    assert open_(tmp_path).load().num_classes == 3


def test_the_label_column_is_found_or_named(tmp_path) -> None:
    file = write(tmp_path / "a.parquet", range(20), [0, 1] * 10, label="kind")
    assert open_(file).load().num_classes == 2
    table = pq.read_table(file).append_column("other", pa.array([0, 1, 2, 3] * 5))
    pq.write_table(table, file)
    with pytest.raises(ConfigError, match=r"2 columns could hold the label.*columns: .*kind \(int"):
        open_(file)
    assert open_(file, label_column="other").load().num_classes == 4
    with pytest.raises(ConfigError, match=r"'nope' is not a column of labels .*; columns: image"):
        open_(file, label_column="nope")


def test_what_else_could_be_the_label_is_told(tmp_path) -> None:
    """CIFAR-100 as the hub has it."""
    file = write(tmp_path / "a.parquet", range(20), [0, 1] * 10, label="fine_label")
    table = pq.read_table(file).append_column("coarse_label", pa.array([0, 1, 2, 3] * 5))
    table = table.append_column("fine_label_text", pa.array(["a", "b"] * 10))
    table = table.append_column("fine_label_2", pa.array([1, 0] * 10))
    pq.write_table(table.append_column("width", pa.array([8] * 20)), file)
    told = (
        "labels are those of column 'fine_label'; data.label_column names another (coarse_label, "
        "fine_label_2)"
    )
    assert told in open_(file).summary().origin.notes
    chosen = open_(file, label_column="fine_label").summary()
    assert not any("data.label_column" in note for note in chosen.origin.notes)


def test_the_image_column_is_found_by_its_type(tmp_path) -> None:
    file = tmp_path / "a.parquet"
    binary = pa.array([b"x"], pa.binary())
    label = pa.array([1])
    pq.write_table(pa.table({"left": binary, "right": binary, "label": label}), file)
    with pytest.raises(ConfigError, match=r"2 columns could hold the image.*named img or image"):
        open_(file)
    pq.write_table(pa.table({"label": label}), file)
    with pytest.raises(ConfigError, match=r"no column could hold the image.*label \(int64\)"):
        open_(file)


def test_files_that_make_no_data_set(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"holds no \*.parquet file"):
        open_(tmp_path)
    write(tmp_path / "test.parquet", [1], [1])
    with pytest.raises(ConfigError, match="has files for test only"):
        open_(tmp_path)
    write(tmp_path / "more.parquet", [1], [1])
    with pytest.raises(ConfigError, match=r"more.parquet names no split while others do"):
        open_(tmp_path)


def test_files_that_disagree(tmp_path) -> None:
    write(tmp_path / "train.parquet", [1], [1], names=["a", "b"])
    write(tmp_path / "test.parquet", [1], [1], names=["b", "a"])
    with pytest.raises(ConfigError, match=r"test.parquet has other columns or classes"):
        open_(tmp_path)


def test_a_file_that_is_not_parquet(tmp_path) -> None:
    (tmp_path / "train.parquet").write_bytes(b"not parquet at all")
    with pytest.raises(ConfigError, match=r"train.parquet can't be read") as error:
        open_(tmp_path)
    assert "\n" not in str(error.value)


def test_no_rows(tmp_path) -> None:
    write(tmp_path / "train.parquet", [], [])
    with pytest.raises(ConfigError, match="the train split has no images"):
        open_(tmp_path)


def test_null_labels(tmp_path) -> None:
    write(tmp_path / "train.parquet", [1, 2, 3], [1, None, None], names=["a", "b"])
    with pytest.raises(
        ConfigError, match=r"2 labels in column 'label' are null \(train row 1, tra"
    ):
        open_(tmp_path).load()


def test_labels_outside_the_classes(tmp_path) -> None:
    write(tmp_path / "train.parquet", range(8), [0, 2, 1, 2, -1, 5, 6, 7], names=["a", "b"])
    with pytest.raises(ConfigError) as error:
        open_(tmp_path).load()
    assert str(error.value) == (
        f"parquet:{tmp_path}: 6 labels in column 'label' are outside the 2 classes (train row 1 "
        "is 2, train row 3 is 2, train row 4 is -1, train row 5 is 5, train row 6 is 6, ...); "
        "allowed: 0 to 1"
    )


def test_numbers_that_are_no_classes(tmp_path) -> None:
    write(tmp_path / "train.parquet", range(9), [*range(8), 10**12], label="id")
    with pytest.raises(ConfigError, match="column 'id' have 9 values in 9 training rows, as row"):
        open_(tmp_path).summary()


def test_null_and_corrupt_images(tmp_path) -> None:
    write(tmp_path / "train.parquet", [*range(9), None], [0, 1] * 5)
    for ask in (open_(tmp_path).load, open_(tmp_path).summary):
        with pytest.raises(ConfigError, match=r"1 of 10 images are null \(train row 9\)"):
            ask()
    write(tmp_path / "train.parquet", range(10), [0, 1] * 5)
    write(tmp_path / "test.parquet", [1, b"junk", png(1)[:50]], [0, 1, 0])
    with pytest.raises(ConfigError, match=r"2 of 13 images can't.*\(test row 1, test row 2\)"):
        open_(tmp_path).load()


def test_a_null_struct_is_a_null_image(tmp_path) -> None:
    file = write(tmp_path / "a.parquet", range(10), [0, 1] * 5)
    table = pq.read_table(file)
    images = [*table["image"].to_pylist()[:9], None]
    table = table.set_column(0, "image", pa.array(images, table.schema.field("image").type))
    pq.write_table(table, file)
    with pytest.raises(ConfigError, match=r"1 of 10 images are null \(train row 9\)"):
        open_(file).load()


def test_sizes_differ_unless_they_are_resized(tmp_path) -> None:
    write(tmp_path / "train.parquet", [*range(9), png(9, (4, 6, 3))], [0, 1] * 5)
    with pytest.raises(ConfigError, match=r"train row 9 is 6x4.*data.image_size"):
        open_(tmp_path, test_fraction=0.2).summary()
    assert open_(tmp_path, image_size=4).load().image_shape == (4, 4, 3)


def test_the_shape_is_that_of_all_images(tmp_path) -> None:
    grey = [png(i, (4, 4)) for i in range(20)]
    write(tmp_path / "train.parquet", grey, [0, 1] * 10)
    assert open_(tmp_path).summary().image_shape == (4, 4, 1)
    write(tmp_path / "train.parquet", [*grey[1:], 3], [0, 1] * 10)
    assert open_(tmp_path).summary().image_shape == (4, 4, 3)
    assert open_(tmp_path, channels=1).summary().image_shape == (4, 4, 1)
    assert open_(tmp_path).load().image_shape == (4, 4, 3)


def test_the_fingerprint_is_of_the_content_not_of_the_path(tmp_path) -> None:
    first = write(tmp_path / "one" / "train.parquet", range(20), [0, 1] * 10).parent
    second = write(tmp_path / "two" / "train-0.parquet", range(20), [0, 1] * 10).parent
    third = write(tmp_path / "three" / "train.parquet", range(1, 21), [0, 1] * 10).parent
    base = open_(first).fingerprint()
    assert open_(second).fingerprint() == base == open_(first, label_column="label").fingerprint()
    options = ({"channels": 1}, {"split_seed": 3}, {"test_fraction": 0.5})
    others = [open_(first, **o).fingerprint() for o in options]
    assert len({base, open_(third).fingerprint(), *others}) == 5
    assert open_(first).load().fingerprint == base


def test_a_test_fraction_that_is_not_used_changes_nothing(tmp_path) -> None:
    write(tmp_path / "train.parquet", range(20), [0, 1] * 10)
    write(tmp_path / "test.parquet", range(20), [0, 1] * 10)
    assert open_(tmp_path).fingerprint() == open_(tmp_path, test_fraction=0.5).fingerprint()


@pytest.mark.skipif(not CIFAR10.is_dir(), reason=f"no CIFAR-10 in {CIFAR10}")
def test_cifar10() -> None:
    source = open_(CIFAR10)
    summary = source.summary()
    dataset = source.load()
    assert source.name == "cifar10"
    assert dataset.train_images.shape == (summary.num_train, 32, 32, 3) == (50_000, 32, 32, 3)
    assert summary.num_test == len(dataset.test_labels) == 10_000
    assert summary.class_names[0] == "airplane"
    assert len(summary.class_names) == 10
    assert np.bincount(dataset.train_labels).tolist() == [5000] * 10
    assert np.bincount(dataset.train_labels[dataset.validation_ids]).tolist() == [500] * 10
    # Independent of our decoding: the published statistics of all 50,000 images.
    np.testing.assert_allclose(dataset.mean, (0.4914, 0.4822, 0.4465), atol=5e-4)
    np.testing.assert_allclose(dataset.std, (0.2470, 0.2435, 0.2616), atol=5e-4)
