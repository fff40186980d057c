"""The embedded digits against scikit-learn's own loader."""

import time

import numpy as np

from prac.config.sections import DataConfig
from prac.data.digits import DigitsSource
from prac.data.splits import stratified_split


def test_pixels_and_labels_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    kept, held_out = stratified_split(labels, 0.2, 0)
    dataset = DigitsSource(DataConfig()).load()
    levels = np.concatenate([dataset.train_images, dataset.test_images]).reshape(-1, 64) * (
        16 / 255
    )
    order = np.concatenate([kept, held_out])
    np.testing.assert_array_equal(np.rint(levels), images[order])
    np.testing.assert_array_equal(
        np.concatenate([dataset.train_labels, dataset.test_labels]), labels[order]
    )
    assert set(np.unique(dataset.train_images)) <= {(v * 255 + 8) // 16 for v in range(17)}
    assert dataset.train_images.max() == 255


def test_the_summary_agrees_with_what_is_loaded() -> None:
    for config in (DataConfig(), DataConfig(image_size=16, channels=3, test_fraction=0.25)):
        source = DigitsSource(config)
        summary, dataset = source.summary(), source.load()
        assert summary.num_train == len(dataset.train_labels)
        assert summary.num_test == len(dataset.test_labels)
        assert summary.image_shape == dataset.image_shape
        assert summary.class_names == dataset.class_names == tuple("0123456789")
        assert source.fingerprint() == dataset.fingerprint


def test_the_fingerprint_follows_what_changes_images_or_split_and_nothing_else() -> None:
    def of(**options) -> str:
        return DigitsSource(DataConfig(**options)).fingerprint()

    same = [of(), of(label_column="x")]
    other = [
        of(image_size=16),
        of(channels=3),
        of(validation_fraction=0.2),
        of(test_fraction=0.3),
        of(split_seed=1),
    ]
    assert len(set(same)) == 1
    assert len({same[0], *other}) == 6


def test_summary_and_fingerprint_are_quick() -> None:
    start = time.perf_counter()
    source = DigitsSource(DataConfig())
    source.summary()
    source.fingerprint()
    assert time.perf_counter() - start < 0.3
