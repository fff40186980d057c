"""Splits and statistics against answers worked out by other means."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prac.config.sections import DataConfig
from prac.data.splits import assemble, channel_statistics, slug, stratified_split
from prac.errors import ConfigError

LABELS = st.lists(st.integers(0, 6), min_size=1, max_size=120)


@given(LABELS, st.floats(0.01, 0.6), st.integers(0, 2**31 - 1))
def test_a_split_is_exact_stratified_and_deterministic(labels, fraction, seed) -> None:
    sizes = {c: labels.count(c) for c in set(labels)}
    total = round(fraction * len(labels))
    if total > sum(n - 1 for n in sizes.values()):
        with pytest.raises(ConfigError, match="without training rows"):
            stratified_split(labels, fraction, seed)
        return
    kept, held_out = stratified_split(labels, fraction, seed)
    assert kept.dtype == held_out.dtype == np.int32
    assert len(held_out) == total
    assert sorted([*kept, *held_out]) == list(range(len(labels)))
    assert list(kept) == sorted(kept)
    assert list(held_out) == sorted(held_out)
    capped = any(Fraction(total * n, len(labels)) > n - 1 for n in sizes.values())
    for c, size in sizes.items():
        held = sum(labels[i] == c for i in held_out)
        assert held < size
        if not capped:
            assert abs(held - Fraction(total * size, len(labels))) < 1
    again = stratified_split(np.array(labels), fraction, seed)
    np.testing.assert_array_equal(again[0], kept)


def test_remainders_by_hand() -> None:
    # 4 of 14: shares 2.00, 1.43, 0.57 -> 2, 1, 0 and the one left to the largest remainder.
    labels = [0] * 7 + [1] * 5 + [2] * 2
    _, held_out = stratified_split(labels, 4 / 14, 3)
    assert np.bincount(np.array(labels)[held_out]).tolist() == [2, 1, 1]


def test_equal_remainders_go_to_the_smaller_label() -> None:
    labels = [0, 1, 2] * 5
    _, held_out = stratified_split(labels, 4 / 15, 0)
    assert np.bincount(np.array(labels)[held_out]).tolist() == [2, 1, 1]


def test_golden_split() -> None:
    kept, held_out = stratified_split([0, 1] * 10, 0.3, 0)
    priorities = np.random.Generator(np.random.PCG64(0)).random(20)
    expected = sorted(
        i for c in (0, 1) for i in sorted(range(c, 20, 2), key=lambda i: priorities[i])[:3]
    )
    assert held_out.tolist() == expected == GOLDEN
    assert len(kept) == 14


GOLDEN = [2, 3, 8, 11, 13, 18]


def test_another_seed_is_another_split() -> None:
    labels = [0, 1] * 50
    first, second = (stratified_split(labels, 0.5, seed)[1] for seed in (0, 1))
    assert first.tolist() != second.tolist()


def test_statistics_are_those_of_the_rows_given() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 5, 4, 3), dtype=np.uint8)
    ids = np.arange(0, 50, 3, dtype=np.int32)
    mean, std = channel_statistics(images, ids)
    scaled = images[ids] / 255
    np.testing.assert_allclose(mean, scaled.mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, scaled.std(axis=(0, 1, 2)), rtol=1e-12)


def test_statistics_do_not_depend_on_the_chunk_size(monkeypatch) -> None:
    images = np.random.default_rng(1).integers(0, 256, (40, 4, 4, 1), dtype=np.uint8)
    ids = np.arange(40, dtype=np.int32)
    whole = channel_statistics(images, ids)
    monkeypatch.setattr("prac.data.splits._CHUNK_BYTES", 48)
    assert channel_statistics(images, ids) == whole


def test_a_constant_channel_has_a_standard_deviation_of_1() -> None:
    images = np.full((4, 2, 2, 1), 51, dtype=np.uint8)
    assert channel_statistics(images, np.arange(4, dtype=np.int32)) == ((0.2,), (1.0,))


def _assemble(labels, test=None, **options):
    labels = np.array(labels, dtype=np.int64)
    images = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1).repeat(4, axis=1)
    return assemble(
        SimpleNamespace(config=DataConfig(**options), name="toy", fingerprint=lambda: "f"),
        class_names=tuple(map(str, range(int(labels.max()) + 1))),
        train=(images, labels),
        test=test,
    )


def test_a_made_test_split_keeps_the_order_of_the_rows() -> None:
    labels = [0, 1] * 20
    dataset = _assemble(labels, test_fraction=0.25, validation_fraction=0.2)
    kept, held_out = stratified_split(labels, 0.25, 0)
    assert dataset.train_images[:, 0, 0, 0].tolist() == kept.tolist()
    assert dataset.test_images[:, 0, 0, 0].tolist() == held_out.tolist()
    assert dataset.test_labels.tolist() == [labels[i] for i in held_out]
    assert len(dataset.validation_ids) == 6
    assert sorted([*dataset.training_ids, *dataset.validation_ids]) == list(range(30))


def test_arrays_can_not_be_written() -> None:
    dataset = _assemble([0, 1] * 20)
    for array in (dataset.train_images, dataset.test_labels, dataset.training_ids):
        assert array.flags.c_contiguous
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_a_split_of_no_sample_raises() -> None:
    with pytest.raises(ConfigError, match=r"data.test_fraction 0.1 of 4 samples of toy is no samp"):
        _assemble([0, 1, 0, 1], test_fraction=0.1)


def test_a_split_that_takes_too_many_says_how_many_are_allowed() -> None:
    with pytest.raises(ConfigError, match=r"data.test_fraction 0.9 of toy.*at most 8$"):
        _assemble([0, 1] * 5, test_fraction=0.9)


def test_one_class_raises() -> None:
    with pytest.raises(ConfigError, match="toy has 1 class; allowed: 2 or more"):
        _assemble([0] * 10)


@pytest.mark.parametrize(
    ("text", "name"), [("cifar10", "cifar10"), ("My Set_v2", "my-set-v2"), ("--", "data")]
)
def test_slug(text: str, name: str) -> None:
    assert slug(text) == name
