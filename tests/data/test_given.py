"""Data sets that are handed over, or made by a function of one's own."""

import dataclasses
import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.pictures import png

from prac.config.sections import DataConfig
from prac.data.sources import as_source, open_source
from prac.errors import ConfigError

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 3), dtype=np.uint8)
LABELS = np.arange(40) % 4


class ClassLabel:
    """As Hugging Face's: a feature with names."""

    names = ("ant", "bee", "cat", "dog")


class Picture:
    """As Hugging Face's `Image` feature, whose class has that name."""


Picture.__name__ = "Image"


@dataclasses.dataclass
class Rows:
    """What prac uses of a Hugging Face Dataset."""

    rows: list
    features: dict

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> dict:
        return self.rows[place]


def rows(labels, **columns) -> Rows:
    pictures = [Image.fromarray(pixels) for pixels in PIXELS[: len(labels)]]
    listed = [{"pixels": p, "kind": y, **columns} for p, y in zip(pictures, labels, strict=True)]
    others = dict.fromkeys(columns, object())
    return Rows(listed, {**others, "pixels": Picture(), "kind": ClassLabel()})


def test_rows_with_columns() -> None:
    splits = {"train": rows(LABELS, id=3), "validation": rows(LABELS[:8]), "test": rows([-1] * 6)}
    dataset = as_source(splits, DataConfig()).load()
    assert dataset.class_names == ClassLabel.names
    np.testing.assert_array_equal(dataset.train_images, PIXELS)
    assert (len(dataset.test_labels), dataset.origin.test_from) == (8, "validation")
    assert dataset.origin.notes[0] == "the test split has no labels, and is not used"
    with pytest.raises(
        ConfigError, match=r"data.label_column names one of its columns: id, pixels"
    ):
        as_source({"train": rows(LABELS, id=3)}, DataConfig(label_column="nope"))


def test_another_column_of_labels_is_told() -> None:
    notes = as_source(rows(LABELS, category=3), DataConfig()).load().origin.notes
    assert notes == (
        "labels are those of column 'kind'; data.label_column names another (category)",
    )


def test_a_hugging_face_data_set() -> None:
    datasets = pytest.importorskip("datasets", reason="Hugging Face's datasets is not installed")
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b", "c", "d"])}
    )
    columns = {"image": [{"bytes": png(i), "path": None} for i in range(40)], "label": LABELS}
    made = datasets.Dataset.from_dict(columns, features=features)
    dataset = as_source(datasets.DatasetDict(train=made, test=made.select(range(8))), DataConfig())
    loaded = dataset.load()
    assert (loaded.class_names, len(loaded.test_labels)) == (("a", "b", "c", "d"), 8)
    assert loaded.origin.notes == ("8 of 8 test images are training images too",)
    assert len(as_source(made, DataConfig()).load().train_labels) == 32


def test_pictures_of_a_palette_are_colours_not_numbers() -> None:
    image = Image.fromarray(np.array([[0, 1]] * 2, np.uint8), "P")
    image.putpalette([9, 8, 7, 200, 100, 50])
    pairs = [(image, i % 2) for i in range(20)]
    loaded = as_source(pairs, DataConfig()).load()
    assert loaded.train_images[0, 0].tolist() == [[9, 8, 7], [200, 100, 50]]


@pytest.fixture
def module(tmp_path: Path, monkeypatch):
    """A module of one's own: `write(text)` makes it anew."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(text: str) -> None:
        sys.modules.pop("my_pictures", None)
        (tmp_path / "my_pictures.py").write_text("import numpy as np\n" + text)

    return write


MADE = """
def make():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 6, 6, 3), dtype=np.uint8)
    return {"train": (images, np.arange(40) % 4), "test": (images[:8], np.arange(8) % 4)}
"""


def test_a_function_of_ones_own(module) -> None:
    module(MADE)
    config = DataConfig(source="my_pictures:make")
    source = open_source(config)
    loaded = source.load()
    np.testing.assert_array_equal(loaded.train_images, PIXELS)
    assert (source.name, loaded.name, len(loaded.test_labels)) == ("make", "make", 8)
    assert loaded.fingerprint == source.fingerprint()
    # Another source, the same images: its author may have meant another thing by them.
    module(MADE.replace("40) % 4", "40) % 2 * 2 + np.arange(40) // 2 % 2"))
    assert open_source(config).fingerprint() != loaded.fingerprint
    module(MADE + "\n# a comment")
    assert open_source(config).fingerprint() == loaded.fingerprint


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("def make(): raise KeyError('x')", "failed when it was called: KeyError: 'x'"),
        ("make = 3", "is no callable"),
        ("def make(): return 'digits'", "returned a text"),
        ("def make(): return 3", "the train split is a int"),
        ("def make(): return {'a': 1, 'b': 2}", "data has the splits a, b"),
        ("def other(): pass", "has no 'make'"),
    ],
)
def test_functions_that_make_no_data(module, body: str, told: str) -> None:
    module(body)
    with pytest.raises(ConfigError) as error:
        open_source(DataConfig(source="my_pictures:make"))
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_a_function_that_takes_the_configuration(module) -> None:
    module(MADE.replace("make():", "make(config):").replace("(40, 6", "(40, config.image_size"))
    config = DataConfig(source="my_pictures:make", image_size=6)
    assert open_source(config).load().image_shape == (6, 6, 3)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (LABELS + 1, ("1", "2", "3", "4")),
        (LABELS * 10, ("0", "10", "20", "30")),
        (LABELS > 1, ("0", "1")),
        (LABELS % 2 * 2 - 1, ("-1", "1")),
        (np.array(["é", "b", "c", "d"])[LABELS], ("b", "c", "d", "é")),
        (np.array(["x", "y"], dtype=object)[LABELS % 2], ("x", "y")),
    ],
)
@pytest.mark.parametrize("pairs", [False, True])
def test_labels_of_any_kind(labels: np.ndarray, classes: tuple[str, ...], pairs: bool) -> None:
    """As in files: the values that occur are the classes, none of them empty."""
    data = list(zip(PIXELS, labels, strict=True)) if pairs else (PIXELS, labels)
    loaded = as_source({"train": data}, DataConfig()).load()
    assert loaded.class_names == classes
    of_rows = [loaded.class_names[y] for y in loaded.train_labels]
    plain = labels.astype(int) if labels.dtype == bool else labels
    assert sorted(of_rows) == sorted(str(y) for y in plain[np.sort(_training(data))])


def _training(data) -> np.ndarray:
    """The rows that a made test split leaves, found by their pixels."""
    kept = {row.tobytes() for row in as_source(data, DataConfig()).load().train_images}
    return np.array([row for row, image in enumerate(PIXELS) if image.tobytes() in kept])


def test_images_that_are_not_decoded_yet() -> None:
    """As `datasets` gives them with `Image(decode=False)`."""
    encoded = [{"image": {"bytes": png(i), "path": None}, "label": "ab"[i % 2]} for i in range(20)]
    features = {"image": Picture(), "label": object()}
    loaded = as_source(Rows(encoded, features), DataConfig()).load()
    expected = np.asarray(Image.open(io.BytesIO(png(0))).convert("RGB"))
    assert any(np.array_equal(image, expected) for image in loaded.train_images)
    assert loaded.class_names == ("a", "b")
    encoded[3]["image"]["bytes"] = b"no image"
    with pytest.raises(ConfigError, match="image at number 3 that can't be decoded"):
        as_source(Rows(encoded, features), DataConfig())


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([*LABELS[:39], "x"], "the train split has texts as labels, and 0 at number 0"),
        ([*LABELS[:39], -1], "1 labels are -1, which stands for none (train row 39)"),
        (range(40), "the labels have 40 values in 40 training rows, as row numbers"),
        ([*LABELS[:39], 2**70], "the label '1180591620717411303424' at number 39"),
    ],
)
def test_labels_that_are_no_classes(labels, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        as_source(list(zip(PIXELS, labels, strict=True)), DataConfig()).summary()
    assert told in str(error.value)


class Items:
    """A torch Dataset, as far as it is one."""

    def __init__(self, item, classes=None, count: int = 40) -> None:
        self._item, self._count = item, count
        if classes is not None:
            self.classes = classes

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, place: int):
        return self._item(place)


def _fails(_place: int):
    raise FileNotFoundError("no such picture\nanywhere")


@pytest.mark.parametrize(
    ("own", "name"),
    [("My Set/1", "my-set-1"), ("", "given"), (None, "given"), (3, "given"), (_fails, "given")],
)
def test_a_data_set_may_have_a_name(own: object, name: str) -> None:
    """Of some data sets `name` is a method."""
    data = rows(LABELS)
    data.name = own
    assert as_source(data, DataConfig()).name == name


def test_datasets_that_number_their_classes_each_for_itself() -> None:
    """A test folder without the first class: its 0 is training's 1."""
    train = Items(lambda i: (PIXELS[i], int(LABELS[i])), ["ant", "bee", "cat", "dog"])
    for classes, told in (
        (["bee", "cat", "dog"], "class 0 is 'ant' in the train split and 'bee' in the one"),
        (["ant", "bee", "dog"], "class 2 is 'cat' in the train split and 'dog' in the one"),
    ):
        test = Items(lambda i: (PIXELS[i], i % 3), classes, 20)
        with pytest.raises(ConfigError, match=told):
            as_source({"train": train, "test": test}, DataConfig())
    same = Items(lambda i: (PIXELS[i], i % 3), ["ant", "bee", "cat"], 20)
    assert as_source({"train": train, "test": same}, DataConfig()).load().num_classes == 4


@pytest.mark.parametrize("names", [("image", "label"), ("pixel_values", "labels")])
def test_items_that_name_their_image_and_label(names: tuple[str, str]) -> None:
    given = Items(lambda i: dict(zip(names, (PIXELS[i], int(LABELS[i])), strict=True), id=i))
    dataset = as_source(given, DataConfig()).load()
    held = as_source((PIXELS, LABELS), DataConfig()).load()
    np.testing.assert_array_equal(dataset.train_images, held.train_images)
    np.testing.assert_array_equal(dataset.test_labels, held.test_labels)
    with pytest.raises(ConfigError, match=r"no column for the label.*: x, id"):
        as_source(Items(lambda i: {"x": i, "id": i}), DataConfig(image_column="x"))


def test_an_image_that_a_gradient_is_wanted_of() -> None:
    given = Items(lambda i: (torch.from_numpy(PIXELS[i] / 255).requires_grad_(), int(LABELS[i])))
    held = as_source((PIXELS, LABELS), DataConfig()).load()
    loaded = as_source(given, DataConfig()).load()
    np.testing.assert_array_equal(loaded.train_images, held.train_images)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (Items(_fails), "when it was asked for number 0: FileNotFoundError: no such picture"),
        (Items(lambda i: (PIXELS[i], 0, i)), "by number, but a tuple of 3; allowed"),
        (((PIXELS, LABELS), (PIXELS[:8], LABELS[:8])), "{'train': ..., 'test': ...}"),
        ((Items(lambda i: (PIXELS[i], 0)), Items(lambda i: (PIXELS[i], 0))), "{'train': ...,"),
        (([PIXELS[0], PIXELS[0][:3]], [0, 1]), "each of one shape"),
    ],
)
def test_what_is_no_data_set_is_one_line(given, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        as_source(given, DataConfig())
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_classes_whose_names_are_nearly_the_same_are_told() -> None:
    labels = np.array(["Cat", "cat ", "dog", "hot dog"] * 10)
    assert "2 classes have names that differ in case or spaces: 'Cat', 'cat '" in _notes(labels)
    assert _notes(np.array(["cat", "dog", "hot dog", "hotdog"] * 10)) == ()


def _notes(labels: np.ndarray) -> tuple[str, ...]:
    return as_source((PIXELS, labels), DataConfig()).load().origin.notes


def test_empty_texts_are_no_labels() -> None:
    with pytest.raises(ConfigError, match=r"10 labels are empty texts \(train row 1, .*in every"):
        as_source((PIXELS, np.array(["cat", " ", "dog", "cow"] * 10)), DataConfig())


def test_files_of_more_than_8_bits_among_items_are_refused() -> None:
    """One by one, a dark one and a bright one would have ranges of their own."""

    def deep(value: int) -> bytes:
        file = io.BytesIO()
        Image.fromarray(np.full((6, 6), value, np.uint16)).save(file, "PNG")
        return file.getvalue()

    items = [(png(number), number % 2) for number in range(3)] + [(deep(200), 1), (deep(60000), 0)]
    with pytest.raises(ConfigError, match="more than 8 bits at number 3; allowed: 8 bits, or"):
        as_source(items, DataConfig())


def _turned(number: int) -> bytes:
    file, tags = io.BytesIO(), Image.Exif()
    tags[0x0112] = 6
    Image.fromarray(PIXELS[number]).save(file, "PNG", exif=tags)
    return file.getvalue()


def test_pictures_of_items_are_turned_as_files_are() -> None:
    items = [(Image.open(io.BytesIO(_turned(i))), i % 2) for i in range(20)]
    source = as_source(items, DataConfig())
    images = source.load().train_images
    assert any(np.array_equal(image, np.rot90(PIXELS[0], -1)) for image in images)


def test_a_picture_that_is_closed_or_cut_is_told_by_its_number() -> None:
    closed, cut = Image.open(io.BytesIO(png(1))), Image.open(io.BytesIO(png(1)[:60]))
    closed.close()
    for picture in (closed, cut):
        items = [(Image.open(io.BytesIO(png(0))), 0), (picture, 1)]
        with pytest.raises(ConfigError, match="image at number 1 that can't be decoded"):
            as_source(items, DataConfig())


def test_images_that_are_all_alike_are_refused_by_a_plan() -> None:
    images = np.zeros((len(LABELS), 6, 6, 3), np.uint8)
    images[..., 0] = np.arange(len(LABELS))[:, None, None]
    with pytest.raises(ConfigError, match="channel 1 of 3 is 0 in every pixel"):
        as_source((images, LABELS), DataConfig()).summary()
    # What the error advises is taken.
    assert as_source((images, LABELS), DataConfig(channels=1)).summary().image_shape == (6, 6, 1)
    assert as_source((images, LABELS), DataConfig(channels=1)).load().image_shape == (6, 6, 1)


def test_features_that_are_no_columns() -> None:
    """Many Datasets call their images so."""
    data = Items(lambda place: (PIXELS[place], LABELS[place]), count=len(LABELS))
    for features in (PIXELS, None, [1, 2], _fails):
        data.features = features
        assert as_source(data, DataConfig()).summary().num_train > 0


def test_classes_that_are_an_array_or_a_tensor() -> None:
    data = Items(lambda place: (PIXELS[place], LABELS[place]), count=len(LABELS))
    expected = tuple(f"kind {number}" for number in range(max(LABELS) + 1))
    for classes in (np.array(expected), list(expected)):
        data.classes = classes
        assert as_source(data, DataConfig()).summary().class_names == expected


@pytest.mark.parametrize("masked", ["images", "labels"])
def test_masked_values_are_refused(masked: str) -> None:
    hidden = np.zeros(len(LABELS), bool)
    hidden[3] = True
    images = np.ma.array(PIXELS, mask=np.broadcast_to(hidden[:, None, None, None], PIXELS.shape))
    labels = np.ma.array(LABELS, mask=hidden)
    data = (images, LABELS) if masked == "images" else (PIXELS, labels)
    with pytest.raises(ConfigError, match="the train split has masked values"):
        as_source(data, DataConfig())


def test_some_items_without_a_label_are_refused() -> None:
    """Beside ones they became a class of their own, -1."""
    data = [(PIXELS[0], None), *((pixels, 1) for pixels in PIXELS[1:])]
    with pytest.raises(ConfigError, match=r"1 items without a label \(number 0\)"):
        as_source(data, DataConfig())


@pytest.mark.parametrize("changes", ["image", "label"])
def test_what_is_drawn_for_every_second_item_is_noticed(changes: str) -> None:
    generator = np.random.default_rng(0)

    def item(place: int):
        drawn = generator.random() < 0.5
        pixels = PIXELS[place][:, ::-1] if drawn and changes == "image" else PIXELS[place]
        return pixels, int(drawn) if changes == "label" else LABELS[place]

    for _ in range(20):
        with pytest.raises(ConfigError, match=f"gives another {changes} each time"):
            as_source(Items(item, count=len(LABELS)), DataConfig())


def test_the_split_to_test_on_is_chosen_and_the_other_told() -> None:
    part = (PIXELS[:12], LABELS[:12])
    data = {"train": (PIXELS, LABELS), "test": part, "validation": (PIXELS[12:16], LABELS[12:16])}
    source = as_source(data, DataConfig())
    assert (source.summary().num_test, source.summary().origin.test_from) == (12, "test")
    told = "the validation split is left out: the test split is used"
    assert told in source.summary().origin.notes
    chosen = as_source(data, DataConfig(test="validation"))
    assert (chosen.summary().num_test, chosen.summary().origin.test_from) == (4, "validation")
    assert (
        "the test split is left out: the validation split is used" in chosen.summary().origin.notes
    )
    with pytest.raises(ConfigError, match=r"data.test 'nope' is no split .*test, validation"):
        as_source(data, DataConfig(test="nope"))


@pytest.mark.parametrize("shape", [(0, 0, 3), (6, 0), (3, 0, 6), (0, 6, 1)])
def test_images_without_pixels_are_refused(shape: tuple[int, ...]) -> None:
    images = np.zeros((len(LABELS), *shape), np.uint8)
    with pytest.raises(ConfigError, match=r"have shape \(.*\); allowed: one pixel or more"):
        as_source((images, LABELS), DataConfig())


@pytest.mark.parametrize("test", [PIXELS[:12, :4, :4], PIXELS[:12, ..., 0]])
def test_splits_of_other_shapes_are_refused(test: np.ndarray) -> None:
    data = {"train": (PIXELS, LABELS), "test": (test, LABELS[:12])}
    with pytest.raises(ConfigError, match=r"shape \(H, W, C\) \(6, 6, 3\), and those of the one"):
        as_source(data, DataConfig())
    assert as_source(data, DataConfig(image_size=4, channels=1)).summary().image_shape == (4, 4, 1)


def test_names_of_classes_may_be_an_array() -> None:
    class Named(list):
        classes = np.array(["ant", "bee", "cat", "dog"])

    source = as_source(Named(zip(PIXELS, LABELS.tolist(), strict=True)), DataConfig())
    assert source.load().class_names == ("ant", "bee", "cat", "dog")


def test_a_function_that_exits_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "users_exit.py").write_text("import sys\ndef quits(): sys.exit()\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="failed when it was called: SystemExit"):
        open_source(DataConfig(source="users_exit:quits"))
