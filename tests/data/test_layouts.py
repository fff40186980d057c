"""Data sets as people have them: what each becomes, or the line that refuses it."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from support.pictures import named, pictures, png, table, write

from prac.config.sections import DataConfig
from prac.data.dataset import ImageDataset
from prac.data.pixels import GROUND
from prac.data.sources import open_source
from prac.data.words import before_split, hides_split, is_split_word, split_of
from prac.errors import ConfigError

TRAIN, TEST = [png(i) for i in range(40)], [png(i) for i in range(40, 60)]
LT, LE = [i % 4 for i in range(40)], [i % 4 for i in range(20)]
TEXT = ["ant", "bee", "cat", "dog"]


def load(source: str, **options) -> ImageDataset:
    """The data set, whose plan counts as many rows."""
    opened = open_source(DataConfig(source=source, **options))
    summary, dataset = opened.summary(), opened.load()
    assert (summary.num_train, summary.num_test) == counts(dataset)[:2]
    assert (summary.class_names, summary.image_shape) == (dataset.class_names, dataset.image_shape)
    assert summary.origin.test_from == dataset.origin.test_from
    assert set(summary.origin.notes) <= set(dataset.origin.notes)
    return dataset


def counts(dataset: ImageDataset) -> tuple[int, int, int]:
    return len(dataset.train_labels), len(dataset.test_labels), dataset.num_classes


def refused(source: str, **options) -> str:
    with pytest.raises(ConfigError) as error:
        open_source(DataConfig(source=source, **options)).load()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *(("cifar10-train", "train"), ("0000_test", "test"), ("partial-train", "train")),
        *(
            ("eval", "validation"),
            ("Testing", "test"),
            ("train_set", "train"),
            ("VALID", "validation"),
        ),
        *(("TrainSet", "train"), ("test2", "test"), ("X.train.y", "train"), ("trainval", "train")),
        *(("train-val", "train"), ("train-test-split", None), ("latest", None), ("mytrain", None)),
        *(("", None), ("été", None), ("seg_test", "test"), ("dev", "validation")),
    ],
)
def test_words(name: str, split: str | None) -> None:
    assert split_of(name) == split


def test_words_of_more_than_a_split() -> None:
    assert [n for n in ("Test_set", "train", "train station", "tests") if is_split_word(n)] == [
        "Test_set",
        "train",
        "tests",
    ]
    assert before_split("cifar10-0003-train-00001") == "cifar10"
    assert hides_split("mytraindata") is False
    assert hides_split("mytrain")
    assert not hides_split("latest-photos")


@pytest.mark.parametrize(
    "pattern",
    ["cifar10-{}", "0000_{}", "default/partial-{}/0000", "data/{}-00000-of-00001-1f2e3d4c"],
)
@pytest.mark.parametrize("test_word", ["test", "eval"])
def test_a_word_anywhere_in_a_path(tmp_path, pattern: str, test_word: str) -> None:
    write(tmp_path / f"{pattern.format('train')}.parquet", table(TRAIN, LT))
    write(tmp_path / f"{pattern.format(test_word)}.parquet", table(TEST, LE))
    dataset = load(f"parquet:{tmp_path}")
    assert counts(dataset) == (40, 20, 4)
    assert dataset.origin.test_from == ("test" if test_word == "test" else "validation")


def test_two_configurations(tmp_path) -> None:
    for name, images in (("v1", TRAIN), ("v2", TRAIN[:20])):
        write(tmp_path / name / "train-0.parquet", table(images, LT[: len(images)]))
    told = refused(f"parquet:{tmp_path}")
    assert "holds 2 configurations (v1, v2)" in told
    assert "parquet:PATH#v2 or data.subset=v2" in told
    assert counts(load(f"parquet:{tmp_path}#v1")) == (32, 8, 4)
    chosen = load(f"parquet:{tmp_path}", subset="v2")
    assert counts(chosen) == (16, 4, 4)
    assert chosen.name.endswith("-v2")
    assert "has no configuration 'v3'; known: v1, v2" in refused(f"parquet:{tmp_path}#v3")


def test_configurations_in_names_and_shards_in_folders(tmp_path) -> None:
    for name in ("a", "b"):
        for split, rows in (("train", 40), ("test", 20)):
            file = tmp_path / "named" / f"{name}-{split}.parquet"
            write(file, table((TRAIN + TEST)[:rows], (LT + LE)[:rows]))
    assert "2 configurations (a, b)" in refused(f"parquet:{tmp_path}/named")
    assert counts(load(f"parquet:{tmp_path}/named#b")) == (40, 20, 4)
    for part in ("0", "1", "year=2020"):
        write(tmp_path / "shards" / "train" / part / "x.parquet", table(TRAIN[:20], LT[:20]))
    assert counts(load(f"parquet:{tmp_path}/shards")) == (48, 12, 4)


def test_words_that_name_no_split_by_themselves(tmp_path) -> None:
    for name in ("mytrain", "mytest"):
        write(tmp_path / f"{name}.parquet", table(TRAIN, LT))
    assert "'mytest.parquet' seems to name a split" in refused(f"parquet:{tmp_path}")
    test = f"{tmp_path}/mytest.parquet"
    dataset = load(f"parquet:{tmp_path}", test=test)
    assert counts(dataset) == (40, 40, 4)
    assert "40 of 40 test images are training images too" in dataset.origin.notes
    assert load(f"parquet:{tmp_path}", test="mytest.parquet").fingerprint == dataset.fingerprint
    for name in ("mytrain", "mytest"):
        (tmp_path / f"{name}.parquet").rename(tmp_path / f"{name[2:]}.parquet")
    assert "data.test 'nope' is no path" in refused(f"parquet:{tmp_path}", test="nope")


def test_a_hub_folder_tests_on_its_test_split_and_tells(tmp_path) -> None:
    for split, images in (("train", TRAIN), ("validation", TEST[:8]), ("test", TEST)):
        write(
            tmp_path / "data" / f"{split}-00000-of-00001.parquet", table(images, LT[: len(images)])
        )
    dataset = load(f"parquet:{tmp_path}")
    assert counts(dataset) == (40, 20, 4)
    assert dataset.origin.notes == ("the validation split is left out: the test split is used",)
    assert counts(load(f"parquet:{tmp_path}", test="validation")) == (40, 8, 4)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        ([TEXT[i] for i in LT], TEXT),
        ([i > 1 for i in LT], ["false", "true"]),
        (pa.array([TEXT[i] for i in LT]).dictionary_encode(), TEXT),
        (pa.array([TEXT[i] for i in LT], pa.large_string()), TEXT),
        ([i + 1 for i in LT], ["1", "2", "3", "4"]),
        ([10 * i for i in LT], ["0", "10", "20", "30"]),
        (pa.array(LT, pa.uint8()), ["0", "1", "2", "3"]),
        ([-i for i in LT], ["-3", "-2", "-1", "0"]),
    ],
    ids=str,
)
def test_labels_of_any_type(tmp_path, labels, classes: list[str]) -> None:
    """Beside columns that could be taken for labels."""
    others = {"__index_level_0__": pa.array(range(40)), "width": pa.array([8] * 40)}
    file = write(tmp_path / "a.parquet", table(TRAIN, labels, **others))
    dataset = load(f"parquet:{file}", test_fraction=0.2)
    assert list(dataset.class_names) == classes
    assert np.bincount(dataset.train_labels).tolist() == [32 // len(classes)] * len(classes)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([i + 0.5 for i in LT], "the labels in column 'label' are double"),
        ([[i] for i in LT], "the labels in column 'label' are list"),
        (list(range(40)), "have 40 values in 40 training rows, as row numbers"),
        ([f"{i}.png" for i in range(40)], "have 40 values in 40 training rows, as row numbers"),
        (pa.array([2**64 - 1] * 40, pa.uint64()), "goes beyond 63 bits"),
        ([None, *LT[1:]], "1 labels in column 'label' are null (train row 0)"),
        ([0] * 40, "has 1 class"),
    ],
)
def test_labels_that_are_no_classes(tmp_path, labels, told: str) -> None:
    file = write(tmp_path / "a.parquet", table(TRAIN, labels))
    assert told in refused(f"parquet:{file}")


def test_the_label_among_several_columns(tmp_path) -> None:
    two = table(TRAIN, LT, label_name=[TEXT[i] for i in LT], id=pa.array(range(40)))
    assert load(f"parquet:{write(tmp_path / 'a.parquet', two)}").class_names == tuple("0123")
    renamed = two.rename_columns(["image", "category", "class", "id"])
    file = write(tmp_path / "b.parquet", renamed)
    assert "2 columns could hold the label" in refused(f"parquet:{file}")
    assert load(f"parquet:{file}", label_column="class").class_names == tuple(TEXT)
    features = {"features": {"category": {"_type": "ClassLabel", "names": TEXT}}}
    file = write(tmp_path / "c.parquet", named(renamed, {"info": features}))
    assert load(f"parquet:{file}").class_names == tuple(TEXT)


def test_two_image_columns(tmp_path) -> None:
    both = table(TRAIN, LT).append_column("back", table(TRAIN[::-1], LT)["image"])
    file = write(tmp_path / "a.parquet", both.rename_columns(["front", "label", "back"]))
    assert "data.image_column names another" in refused(f"parquet:{file}")
    front, back = (load(f"parquet:{file}", image_column=name) for name in ("front", "back"))
    assert front.fingerprint != back.fingerprint
    assert "'label' is not a column of images" in refused(f"parquet:{file}", image_column="label")


@pytest.mark.parametrize(
    "metadata",
    [
        *(b"{", b"\xff\xfe", "[" * 100_000, "[]", "null", "3", '"x"', {"info": None}, {"info": 3}),
        *({"info": {"features": []}}, {"info": {"features": {"label": {"names": "abcd"}}}}),
        *({"info": {"features": {"label": {"names": [1, 2, 3, 4]}}}},),
        *({"info": {"features": {"label": {"names": {"a": 1}}}}},),
        *({"info": {"features": {"label": {"names": ["a", "a", "b", "c"]}}}},),
        *({"info": {"features": {"label": ["x"]}}}, {"features": {"label": 4}, "more": [1]}),
    ],
    ids=lambda m: str(m)[:30],
)
def test_metadata_of_odd_shapes_is_told_and_not_used(tmp_path, metadata) -> None:
    file = write(tmp_path / "a.parquet", named(table(TRAIN, LT), metadata))
    dataset = load(f"parquet:{file}")
    assert dataset.class_names == tuple("0123")
    assert any("metadata 'huggingface'" in note for note in dataset.origin.notes)


def test_unknown_keys_of_the_metadata_are_normal(tmp_path) -> None:
    features = {
        "image": {"_type": "Image"},
        "label": {"names": TEXT, "_type": "ClassLabel", "x": 1},
    }
    info = {"info": {"features": features, "splits": {}, "new": 3}, "fingerprint": "x"}
    dataset = load(f"parquet:{write(tmp_path / 'a.parquet', named(table(TRAIN, LT), info))}")
    assert (dataset.class_names, dataset.origin.notes) == (tuple(TEXT), ())


@pytest.mark.parametrize("secret", [[-1] * 20, [None] * 20, None])
@pytest.mark.parametrize("validation", [True, False])
def test_a_test_split_without_labels(tmp_path, secret, validation: bool) -> None:
    write(tmp_path / "train.parquet", table(TRAIN, LT))
    tested = table(TEST, pa.array(secret or LE, pa.int64()))
    write(tmp_path / "test.parquet", tested if secret else tested.drop_columns(["label"]))
    if validation:
        write(tmp_path / "validation.parquet", table(TEST, LE))
    dataset = load(f"parquet:{tmp_path}")
    assert dataset.origin.test_from == ("validation" if validation else "made")
    assert counts(dataset) == ((40, 20, 4) if validation else (32, 8, 4))
    assert dataset.origin.notes[0].startswith("the test split has no labels, and is not used")


def test_shards_of_other_widths(tmp_path) -> None:
    write(tmp_path / "train-0.parquet", table(TRAIN, pa.array(LT, pa.int32())))
    write(tmp_path / "train-1.parquet", table(TEST, pa.array(LE, pa.int64())))
    assert counts(load(f"parquet:{tmp_path}")) == (48, 12, 4)
    write(tmp_path / "train-1.parquet", table(TEST, [TEXT[i] for i in LE]))
    assert "is int32, string in different files" in refused(f"parquet:{tmp_path}")


def test_a_test_class_that_is_not_trained(tmp_path) -> None:
    write(tmp_path / "train.parquet", table(TRAIN, LT))
    write(tmp_path / "test.parquet", table(TEST, [i + 1 for i in LE]))
    assert "1 classes of the test split are not in the training split (4)" in refused(
        f"parquet:{tmp_path}"
    )


@pytest.mark.parametrize(
    ("train", "test", "test_from"),
    [
        *(
            ("Training", "Testing", "test"),
            ("TRAIN", "TEST", "test"),
            ("train_set", "test-set", "test"),
        ),
        *(("train", "valid", "validation"), ("seg_train", "seg_test", "test")),
        *(("train", "eval", "validation"), ("Train Data", "Test Data", "test")),
    ],
)
def test_split_folders_in_any_spelling(tmp_path, train: str, test: str, test_from: str) -> None:
    pictures(tmp_path / train, TEXT, 10)
    pictures(tmp_path / test, TEXT, 5, seed=100)
    dataset = load(f"folder:{tmp_path}")
    assert counts(dataset) == (40, 20, 4)
    assert dataset.origin.test_from == test_from
    assert dict(dataset.origin.places) == {"training": train, "test": test}


def test_an_archive_within_its_folder(tmp_path) -> None:
    """The Intel scenes as Kaggle has them."""
    pictures(tmp_path / "seg_train" / "seg_train", TEXT, 10)
    pictures(tmp_path / "seg_test" / "seg_test", TEXT, 5, seed=100)
    pictures(tmp_path / "seg_pred", ["seg_pred"], 5, seed=200)
    dataset = load(f"folder:{tmp_path}")
    assert counts(dataset) == (40, 20, 4)
    assert dataset.origin.notes == ("folder 'seg_pred' names no split and is left out",)


def test_what_tools_leave_is_no_data(tmp_path) -> None:
    pictures(tmp_path / "train", TEXT, 10)
    for junk in (".ipynb_checkpoints", "@eaDir", "__MACOSX", "thumbnails", ".deep/er"):
        pictures(tmp_path / "train" / "ant", [junk], 2)
        pictures(tmp_path / "train", [f"{junk}/x"], 2)
        pictures(tmp_path, [f"{junk}/y"], 2)
    (tmp_path / "train" / "ant" / "._0.png").write_bytes(b"a fork")
    (tmp_path / "train" / "ant" / "a.jfif").write_bytes(png(1000))
    (tmp_path / "train" / "bee" / "a.heic").write_bytes(b"x")
    (tmp_path / "train" / "loose.png").write_bytes(png(1001))
    dataset = load(f"folder:{tmp_path}")
    assert counts(dataset) == (33, 8, 4)
    assert dataset.origin.notes == (
        "3 folders of thumbnails are left out; a class needs another name (thumbnails)",
        "1 images in 'train' lie in no class folder and are left out",
        "1 files in class folders are of a kind that is not read (.heic)",
    )


def test_names_that_begin_with_an_at_are_names(tmp_path) -> None:
    pictures(tmp_path / "train", ["@alice", "bob"], 10)
    for number in range(5):
        (tmp_path / "train" / "bob" / f"@{number}.png").write_bytes(png(2000 + number))
    dataset = load(f"folder:{tmp_path}")
    assert dataset.class_names == ("@alice", "bob")
    assert sum(counts(dataset)[:2]) == 25


def test_a_class_of_thumbs_is_not_left_out_without_a_word(tmp_path) -> None:
    pictures(tmp_path / "train", ["fist", "palm", "thumbs"], 10)
    dataset = load(f"folder:{tmp_path}")
    assert dataset.class_names == ("fist", "palm")
    (told,) = dataset.origin.notes
    assert told == "1 folders of thumbnails are left out; a class needs another name (train/thumbs)"


def test_what_runs_leave_in_the_folder_of_the_data_is_no_data(tmp_path) -> None:
    pictures(tmp_path, TEXT, 10)
    before = load(f"folder:{tmp_path}")
    for place in ("prac-runs/data", "mlruns/prac-stages/1"):
        pictures(tmp_path / place, ["figures"], 3)
    after = load(f"folder:{tmp_path}")
    assert after.fingerprint == before.fingerprint
    assert after.origin.notes == before.origin.notes


def test_a_class_with_a_splits_word_beside_others_is_no_split(tmp_path) -> None:
    """Its folders became the classes, and the other classes were left out."""
    for name in ("bullet train", "car", "bus"):
        pictures(tmp_path / name, ["day", "night"], 5)
    told = refused(f"folder:{tmp_path}")
    assert "folder 'bullet train' beside 2 others could be a class or the training split" in told


@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_no_name_is_no_folder_to_test_on(tmp_path, kind: str) -> None:
    pictures(tmp_path / "train", TEXT, 10)
    write(tmp_path / "train.parquet", table(TRAIN, LT))
    assert "data.test '' is not allowed" in refused(f"{kind}:{tmp_path}", test="")


def test_hidden_folders_of_images_are_told(tmp_path) -> None:
    """Where classes are looked for: within a class they are leavings."""
    pictures(tmp_path / "train", [".NET", "java", "python"], 10)
    pictures(tmp_path / "train" / "java", [".ipynb_checkpoints"], 2)
    (tmp_path / "train" / ".git").mkdir()
    (tmp_path / "train" / ".git" / "HEAD").write_text("x")
    dataset = load(f"folder:{tmp_path}")
    assert dataset.class_names == ("java", "python")
    assert dataset.origin.notes == (
        "1 hidden folders of images in 'train' are left out (.NET); a class needs another name",
    )


def test_links_at_any_depth(tmp_path) -> None:
    pool = pictures(tmp_path / "pool", TEXT, 10)
    root = tmp_path / "data" / "train"
    for c, name in enumerate(TEXT):
        (root / name).mkdir(parents=True)
        if c == 0:  # files
            for file in (pool / name).iterdir():
                (root / name / file.name).symlink_to(file)
        elif c == 1:  # a folder of files, through a link to a link
            (tmp_path / "hop").symlink_to(pool / name)
            (root / name / "deep").mkdir()
            (root / name / "deep" / "from-disk-2").symlink_to(tmp_path / "hop")
        else:  # folders that link back to what is above them
            (root / name / "here").symlink_to(pool / name)
            (root / name / "loop").symlink_to(root / name)
    (root / "ant" / "gone.png").symlink_to(tmp_path / "nowhere")
    (root / "ant" / "self").symlink_to(root / "ant" / "self")
    (root / "bee" / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(root / "bee" / "pipe.png")
    dataset = load(f"folder:{tmp_path}/data")
    assert counts(dataset) == (32, 8, 4)
    assert dataset.origin.notes == (
        "2 links lead nowhere and are left out (train/ant/gone.png)",
        "2 entries are no regular files and are left out (train/bee/pipe.png)",
    )


@pytest.mark.parametrize("target", ["..", "../bee", "../bee/deep", "../../pool"])
def test_links_that_mix_classes_are_refused(tmp_path, target: str) -> None:
    """A folder above, another class, one below it, or what another class is a link to."""
    root = tmp_path / "train"
    pictures(root, ["ant", "bee", "bee/deep"], 10)
    pictures(tmp_path / "pool", ["."], 5, seed=50)
    (root / "cat").symlink_to(tmp_path / "pool")
    (root / "ant" / "up").symlink_to(target)
    with pytest.raises(ConfigError, match=r"links bring an image into two classes \('.*ant/up/"):
        load(f"folder:{tmp_path}")


def test_a_hub_cache_of_links(tmp_path) -> None:
    for split, images in (("train", TRAIN), ("test", TEST)):
        blob = write(tmp_path / "blobs" / f"{split}x", table(images, LT[: len(images)]))
        link = tmp_path / "snapshots" / "1f3" / "data" / f"{split}-00000-of-00001.parquet"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    assert counts(load(f"parquet:{tmp_path}/snapshots/1f3")) == (40, 20, 4)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "cache").symlink_to(tmp_path / "snapshots")
    assert counts(load(f"parquet:{tmp_path}/mine")) == (40, 20, 4)


def test_names_are_compared_in_one_unicode_form(tmp_path) -> None:
    classes = ["écureuil", "Ångström"]
    pictures(tmp_path / "train", [unicodedata.normalize("NFC", c) for c in classes], 10)
    pictures(tmp_path / "test", [unicodedata.normalize("NFD", c) for c in classes], 5, seed=90)
    assert counts(load(f"folder:{tmp_path}")) == (20, 10, 2)
    mixed = [unicodedata.normalize(("NFC", "NFD")[i % 2], classes[i // 2 % 2]) for i in range(40)]
    file = write(tmp_path / "a.parquet", table(TRAIN, mixed))
    assert load(f"parquet:{file}").num_classes == 2


def test_folders_that_could_be_read_in_two_ways(tmp_path) -> None:
    pictures(tmp_path / "a", ["ant", "bee", "test"], 5)
    assert "folder 'test' beside 2 others could be a class or a split" in refused(
        f"folder:{tmp_path}/a"
    )
    pictures(tmp_path / "b" / "ant", ["train", "test"], 5)
    pictures(tmp_path / "b" / "bee", ["train", "test"], 5)
    assert "class folder 'ant' holds a split's folder, 'test'" in refused(f"folder:{tmp_path}/b")
    pictures(tmp_path / "c" / "inner" / "train", TEXT, 5)
    assert f"is it folder:{tmp_path}/c/inner?" in refused(f"folder:{tmp_path}/c")
    for name in ("train", "Training"):
        pictures(tmp_path / "d" / name, TEXT, 5)
    assert "2 folders for the train split" in refused(f"folder:{tmp_path}/d")
    pictures(tmp_path / "e" / "train", ["train", "test"], 5)
    assert "all classes have names of splits (test, train)" in refused(f"folder:{tmp_path}/e")


def test_a_class_may_have_a_name_with_a_splits_word(tmp_path) -> None:
    pictures(tmp_path, ["beach", "train station", "test tube"], 10)
    assert counts(load(f"folder:{tmp_path}")) == (24, 6, 3)


@pytest.mark.parametrize("unlabelled", ["0.png", "unknown/0.png"])
def test_a_test_folder_without_classes(tmp_path, unlabelled: str) -> None:
    pictures(tmp_path / "train", TEXT, 10)
    pictures(tmp_path / "val", TEXT, 5, seed=100)
    (tmp_path / "test" / unlabelled).parent.mkdir(parents=True)
    (tmp_path / "test" / unlabelled).write_bytes(png(900))
    dataset = load(f"folder:{tmp_path}")
    assert counts(dataset) == (40, 20, 4)
    assert "the test split ('test') has no labels" in dataset.origin.notes[0]


def test_a_folder_to_test_on_by_name(tmp_path) -> None:
    pictures(tmp_path / "a", TEXT, 10)
    pictures(tmp_path / "a" / "holdout", TEXT, 5, seed=100)
    assert counts(load(f"folder:{tmp_path}/a", test="holdout")) == (40, 20, 4)
    pictures(tmp_path / "elsewhere", TEXT, 4, seed=200)
    dataset = load(f"folder:{tmp_path}/a", test=str(tmp_path / "elsewhere"))
    assert counts(dataset)[1] == 16
    assert "data.test 'nope' is no folder" in refused(f"folder:{tmp_path}/a", test="nope")


def test_an_empty_class_is_told(tmp_path) -> None:
    pictures(tmp_path / "train", ["ant", "bee"], 10)
    (tmp_path / "train" / "cat").mkdir()
    dataset = load(f"folder:{tmp_path}")
    assert np.bincount(dataset.train_labels, minlength=3).tolist() == [8, 8, 0]
    assert "1 of 3 classes have no training row (cat)" in dataset.origin.notes


def test_long_tails_keep_every_class_in_training(tmp_path) -> None:
    for c in range(12):
        pictures(tmp_path / "train", [f"sp {c:02}"], max(1, 24 >> c), seed=100 * c)
    dataset = load(f"folder:{tmp_path}")
    assert set(dataset.training_labels.tolist()) == set(range(12))
    assert any(note.startswith("classes are unbalanced: 'sp 00'") for note in dataset.origin.notes)
    pictures(tmp_path / "one" / "train", [f"sp {c}" for c in range(40)], 1)
    assert "40 of 40 classes have one sample" in refused(f"folder:{tmp_path}/one")
    with pytest.raises(ConfigError, match="of 2 samples of two is no sample"):
        open_source(
            DataConfig(source=f"folder:{pictures(tmp_path / 'two', ['0', '1'], 1)}")
        ).summary()


def test_a_channel_that_never_changes_is_refused(tmp_path) -> None:
    from PIL import Image

    for i in range(20):
        pixels = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        pixels[..., 1] = 7
        file = tmp_path / "train" / "ab"[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    told = refused(f"folder:{tmp_path}")
    assert "channel 1 of 3 is 7 in every pixel of every training image" in told
    assert load(f"folder:{tmp_path}", channels=1).image_shape == (8, 8, 1)


def test_images_that_repeat_or_are_flat_are_told(tmp_path) -> None:
    from PIL import Image

    pictures(tmp_path / "train", TEXT, 10)
    pictures(tmp_path / "test", TEXT, 2)
    Image.new("RGB", (8, 8), "red").save(tmp_path / "train" / "ant" / "flat.png")
    notes = load(f"folder:{tmp_path}").origin.notes
    # `pictures` numbers its seeds by class: all of test are in train, under some class.
    assert "8 of 8 test images are training images too" in notes
    assert "1 of 41 training images are one flat colour" in notes


def test_data_that_change_while_they_are_read(tmp_path) -> None:
    """The fingerprint that a plan has told is never of other images."""
    root = pictures(tmp_path / "f", TEXT, 10)
    file = write(tmp_path / "p" / "a.parquet", table(TRAIN, LT))
    for source, change in (
        (f"folder:{root}", lambda: Path(root, "ant", "3.png").write_bytes(png(999))),
        (f"parquet:{file}", lambda: write(file, table(TRAIN[::-1], LT))),
    ):
        opened = open_source(DataConfig(source=source))
        before = opened.fingerprint()
        change()
        with pytest.raises(ConfigError, match=r"(3.png|a.parquet) changed while it was read"):
            opened.load()
        again = open_source(DataConfig(source=source))
        assert again.load().fingerprint == again.fingerprint() != before


def test_many_classes_are_split_at_once() -> None:
    """150,000 classes: seconds, where a loop over classes in a loop took an hour."""
    from prac.data.splits import stratified_split

    labels = np.arange(300_000) // 2
    kept, held_out = stratified_split(labels, 0.2, 0)
    assert len(held_out) == 60_000
    assert len(np.unique(labels[kept])) == 150_000


def test_folders_in_class_folders_are_told(tmp_path) -> None:
    """One may be an archive's; several may have been meant as classes."""
    pictures(tmp_path / "train", ["animals/ant", "animals/bee", "plants/oak/images"], 5)
    dataset = load(f"folder:{tmp_path}")
    assert dataset.class_names == ("animals", "plants")
    told = "1 class folders hold several folders of images, which count as one class"
    assert f"{told} ('animals': ant, bee)" in dataset.origin.notes


def test_a_split_folder_of_a_strange_name(tmp_path) -> None:
    pictures(tmp_path / "train \x1b[1m", TEXT, 10)
    dataset = load(f"folder:{tmp_path}")
    assert counts(dataset) == (32, 8, 4)
    assert dict(dataset.origin.places) == {"training": r"train \u001b[1m"}


def test_a_plan_tells_what_is_done_to_pixels(tmp_path) -> None:
    """Before all are decoded; `load` counts them."""
    pictures(tmp_path / "data", TEXT, 10)
    clear = Image.fromarray(np.full((8, 8, 4), 7, np.uint8))
    clear.save(tmp_path / "data" / "bee" / "3.png")
    write(
        tmp_path / "a.parquet",
        table([(tmp_path / "data/bee/3.png").read_bytes(), *TRAIN], [1, *LT]),
    )
    for source, place in (
        (f"folder:{tmp_path}/data", "bee/3.png"),
        (f"parquet:{tmp_path}/a.parquet", "train row 0"),
    ):
        opened = open_source(DataConfig(source=source))
        told = f"1 images are laid on mid-grey ({GROUND}) where they are transparent"
        assert opened.summary().origin.notes[0] == f"{told}, {place} to begin with"
        assert (
            f"1 images are transparent and laid on mid-grey ({GROUND})"
            in opened.load().origin.notes
        )


def test_files_that_a_download_left_out_are_told(tmp_path: Path) -> None:
    for number in (0, 2):
        write(tmp_path / "data" / f"train-0000{number}-of-00003.parquet", table(TRAIN, LT))
    write(tmp_path / "data" / "test-00000-of-00001.parquet", table(TEST, LE))
    (note, *_) = load(f"parquet:{tmp_path}").origin.notes
    assert note == (
        "the train split has 2 of the 3 files that their names tell of "
        "(e.g. train-00000-of-00003.parquet)"
    )
    write(tmp_path / "data" / "train-00001-of-00003.parquet", table(TRAIN, LT))
    assert not any("files" in note for note in load(f"parquet:{tmp_path}").origin.notes)


def test_a_column_of_splits_is_told(tmp_path: Path) -> None:
    split = ["train"] * 30 + ["test"] * 10
    write(tmp_path / "data.parquet", table(TRAIN, LT, Split=split))
    told = load(f"parquet:{tmp_path}")
    assert told.origin.test_from == "made"
    assert "column 'Split' is not used: a row's split is that of its file" in told.origin.notes
