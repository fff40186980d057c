"""The CIFAR sets as torchvision stores them, with files in its own layout and no network."""

import hashlib
import pickle

import numpy as np
import pytest

from prac.config.sections import DataConfig
from prac.data.torchvision_sets import SETS, TorchvisionSource
from prac.errors import ConfigError


def test_what_is_known_is_what_torchvision_knows() -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    for known in SETS.values():
        assert getattr(datasets, known.factory).tgz_md5 == known.md5
    assert [len(SETS[name].class_names) for name in ("cifar10", "cifar100")] == [10, 100]
    assert list(SETS["cifar100"].class_names) == sorted(set(SETS["cifar100"].class_names))


def test_another_name_raises() -> None:
    with pytest.raises(ConfigError, match="torchvision set 'mnist' is not known; known: cifar10"):
        TorchvisionSource(DataConfig(source="mnist"))


def test_summary_and_fingerprint_need_no_files(tmp_path) -> None:
    def source(**options) -> TorchvisionSource:
        return TorchvisionSource(DataConfig(source="cifar10", **options), tmp_path)

    summary = source(image_size=16, channels=1).summary()
    assert (summary.num_train, summary.num_test) == (50_000, 10_000)
    assert summary.image_shape == (16, 16, 1)
    prints = [
        source().fingerprint(),
        source(split_seed=1).fingerprint(),
        source(validation_fraction=0.2).fingerprint(),
        source(image_size=16).fingerprint(),
        TorchvisionSource(DataConfig(source="cifar100"), tmp_path).fingerprint(),
    ]
    assert len(set(prints)) == 5
    assert source(test_fraction=0.5).fingerprint() == prints[0]


def test_a_download_that_fails_says_how_to_bring_the_data(tmp_path, monkeypatch) -> None:
    from torchvision import datasets

    def fail(self) -> None:
        raise OSError("no route\nto host")

    monkeypatch.setattr(datasets.CIFAR10, "download", fail)
    with pytest.raises(ConfigError) as error:
        TorchvisionSource(DataConfig(source="cifar10"), tmp_path).load()
    assert str(error.value) == (
        f"data set 'cifar10' is not in {tmp_path} and can't be downloaded (no route to host); "
        "allowed: bring it as parquet:PATH or folder:PATH"
    )


def test_stored_files_are_read_in_order(tmp_path, monkeypatch) -> None:
    from torchvision import datasets

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()

    def store(name: str, content: object) -> str:
        data = pickle.dumps(content)
        (folder / name).write_bytes(data)
        return hashlib.md5(data).hexdigest()

    rng = np.random.default_rng(0)
    planes = {name: rng.integers(0, 256, (20, 3072), dtype=np.uint8) for name in ("a", "b", "t")}
    labels = [0, 1] * 10
    sums = {n: store(n, {"data": p, "labels": labels}) for n, p in planes.items()}
    meta = store("m", {"label_names": ["x", "y"]})
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [["a", sums["a"]], ["b", sums["b"]]])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["t", sums["t"]]])
    monkeypatch.setattr(
        datasets.CIFAR10, "meta", {"filename": "m", "key": "label_names", "md5": meta}
    )
    dataset = TorchvisionSource(DataConfig(source="cifar10"), tmp_path).load()
    assert dataset.train_images.shape == (40, 32, 32, 3)
    # Planes of 1024 reds, greens and blues, row by row.
    assert dataset.train_images[21, 2, 5].tolist() == planes["b"][1, [69, 1093, 2117]].tolist()
    assert dataset.test_images[3, 0, 0, 2] == planes["t"][3, 2048]
    assert dataset.train_labels.tolist() == labels * 2
    assert dataset.train_images.flags.c_contiguous
