"""Small folders of images with known pixels."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prac.config.sections import DataConfig
from prac.data.image_folder import ImageFolderSource
from prac.errors import ConfigError


def save(file: Path, value: int, shape: tuple[int, ...] = (4, 4, 3)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(shape, value, dtype=np.uint8)).save(file)


def fill(folder: Path, start: int = 0, count: int = 10) -> Path:
    """Classes `ant` and `bee`, their values rising from `start` in the sorted order."""
    for c, name in enumerate(("ant", "bee")):
        for i in range(count):
            save(folder / name / f"{i:03}.png", start + c * count + i)
    return folder


def open_(path: Path, **options) -> ImageFolderSource:
    return ImageFolderSource(path, DataConfig(source=f"folder:{path}", **options))


@pytest.mark.parametrize("test_name", ["test", "val", "validation"])
def test_pixels_labels_and_splits(tmp_path, test_name: str) -> None:
    fill(tmp_path / "train")
    fill(tmp_path / test_name, start=100, count=2)
    source = open_(tmp_path)
    dataset, summary = source.load(), source.summary()
    assert dataset.train_images[:, 0, 0, 0].tolist() == list(range(20))
    assert dataset.train_labels.tolist() == [0] * 10 + [1] * 10
    assert dataset.test_images[:, 3, 3, 2].tolist() == [100, 101, 102, 103]
    assert dataset.test_labels.tolist() == [0, 0, 1, 1]
    assert summary.class_names == dataset.class_names == ("ant", "bee")
    assert (summary.num_train, summary.num_test, summary.image_shape) == (20, 4, (4, 4, 3))


def test_test_comes_before_val(tmp_path) -> None:
    for start, name in enumerate(("train", "test", "val")):
        fill(tmp_path / name, start=start * 100)
    assert open_(tmp_path).load().test_images.min() == 100


def test_classes_alone_are_split(tmp_path) -> None:
    source = open_(fill(tmp_path / "My Bugs"))
    dataset, summary = source.load(), source.summary()
    assert source.name == "my-bugs"
    assert (summary.num_train, summary.num_test) == (16, 4)
    assert dataset.test_labels.tolist() == [0, 0, 1, 1]
    values = [*dataset.train_images[:, 0, 0, 0], *dataset.test_images[:, 0, 0, 0]]
    assert sorted(values) == list(range(20))


def test_a_class_may_be_called_train(tmp_path) -> None:
    fill(tmp_path / "train")
    for i in range(10):
        save(tmp_path / "train" / "train" / f"{i}.png", i)
    assert open_(tmp_path).summary().class_names == ("ant", "bee", "train")


def test_split_folders_without_classes_raise(tmp_path) -> None:
    save(tmp_path / "train" / "a.png", 1)
    save(tmp_path / "test" / "a.png", 1)
    with pytest.raises(ConfigError, match="has no class folders in 'train'"):
        open_(tmp_path)


def test_folders_that_make_no_data_set(tmp_path) -> None:
    with pytest.raises(ConfigError, match="has no class folders"):
        open_(tmp_path)
    save(tmp_path / "ant" / "0.png", 1)
    with pytest.raises(ConfigError, match="has one class, 'ant'; allowed: 2 or more"):
        open_(tmp_path)
    (tmp_path / "bee").mkdir()
    (tmp_path / "bee" / "notes.txt").write_text("no image")
    with pytest.raises(ConfigError, match=r"1 of 2 classes in '.*' have no images \(bee\)"):
        open_(tmp_path)


def test_a_test_class_that_is_not_trained(tmp_path) -> None:
    fill(tmp_path / "train")
    save(tmp_path / "test" / "cat" / "0.png", 1)
    with pytest.raises(ConfigError, match=r"1 classes of the test split are not in .*\(cat\)"):
        open_(tmp_path)


def test_corrupt_files_are_named(tmp_path) -> None:
    fill(tmp_path)
    (tmp_path / "ant" / "003.png").write_bytes(b"junk")
    (tmp_path / "bee" / "001.png").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"2 of 20 images can't.*\(ant/003.png, bee/001.png\)"):
        open_(tmp_path).load()


@pytest.mark.parametrize("content", [b"", b"junk", b"\x89PNG\r\n\x1a\n", b"\xff\xd8"])
def test_files_without_an_images_head_are_refused_by_a_plan(tmp_path, content: bytes) -> None:
    fill(tmp_path)
    (tmp_path / "bee" / "001.png").write_bytes(content)
    with pytest.raises(ConfigError, match=r"1 of 20 images can't be decoded \(bee/001.png\)"):
        open_(tmp_path).summary()


def test_sizes_differ_unless_they_are_resized(tmp_path) -> None:
    save(fill(tmp_path) / "bee" / "wide.png", 1, (4, 8, 3))
    with pytest.raises(ConfigError, match=r"bee/wide.png is 8x4.*data.image_size"):
        open_(tmp_path).load()
    assert open_(tmp_path, image_size=4).load().image_shape == (4, 4, 3)


def test_the_fingerprint_is_of_the_content_not_of_the_path(tmp_path) -> None:
    base = open_(fill(tmp_path / "one")).fingerprint()
    assert open_(fill(tmp_path / "two")).fingerprint() == base
    assert open_(tmp_path / "one", label_column="x").fingerprint() == base
    options = ({"image_size": 4}, {"split_seed": 3}, {"validation_fraction": 0.5})
    others = [open_(tmp_path / "one", **o).fingerprint() for o in options]
    (tmp_path / "two" / "ant").rename(tmp_path / "two" / "asp")
    changed = open_(fill(tmp_path / "three", start=1)).fingerprint()
    assert len({base, *others, open_(tmp_path / "two").fingerprint(), changed}) == 6
    assert open_(tmp_path / "one").load().fingerprint == base
