"""Which folders of images make which split, and which classes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from prac.data.tiny_imagenet import annotated_images, annotations_of
from prac.data.walk import Walk, files_below, files_in, folders_in, hidden_with, same_form
from prac.data.words import is_split_word, split_of
from prac.errors import ConfigError, shown

EXTENSIONS = (
    *(".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm"),
    *(".tif", ".tiff", ".webp"),
)
LAYOUTS = "train/CLASS/*.png with test/CLASS/*.png, or CLASS/*.png"


@dataclass(frozen=True)
class Split:
    """Files in order, each with its class. empty: classes whose folders hold no image."""

    files: tuple[Path, ...]
    classes: tuple[str, ...]
    empty: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Layout:
    """The splits of a folder. test_from: `test`, `validation` or `made`, where there is none.
    places: the folder that became which split. notes: what is told."""

    train: Split
    test: Split | None = None
    test_from: str = "made"
    places: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def find_layout(root: Path, where: str, test: str | None) -> Layout:
    """Look at the folders. where: the data set as the user named it. test: a folder to test on.

    Raises ConfigError for folders that hold no data set, or that could be read in two ways.
    """
    walk = Walk()
    folders = folders_in(root, walk)
    named = _named_test(root, test, folders, where)
    rest = [folder for folder in folders if folder != named]
    by_split = _by_split(rest, where, walk)
    if "train" in by_split:
        layout = _with_splits(root, by_split, named, where, walk)
        layout.notes += [
            f"folder '{shown(folder.name)}' names no split and is left out"
            for folder in rest
            if split_of(folder.name) is None
        ]
    else:
        layout = _classes_alone(root, rest, named, where, walk)
    layout.notes += walk.notes(root)
    layout.notes += _loose_notes(root, layout, walk)
    _refuse_strange_classes(layout, where)
    return layout


def _named_test(root: Path, test: str | None, folders: list[Path], where: str) -> Path | None:
    if test is None:
        return None
    if not test:
        raise ConfigError("data.test '' is not allowed; allowed: a folder, or none")
    places = [root / test, Path(test).expanduser()]
    places += [folder for folder in folders if split_of(folder.name) == test]
    place = next((path for path in places if path.is_dir() and path != root), None)
    if place is None:
        raise ConfigError(
            f"data.test '{shown(test)}' is no folder, of itself or in {where}; folders: "
            f"{shown(', '.join(folder.name for folder in folders[:10]))}"
        )
    return next((folder for folder in folders if folder.samefile(place)), place)


def _by_split(folders: list[Path], where: str, walk: Walk) -> dict[str, Path]:
    """The folder of each split that a word names."""
    found: dict[str, list[Path]] = {}
    for folder in folders:
        split = split_of(folder.name)
        if split is not None:
            found.setdefault(split, []).append(folder)
    # A class may be called `train` (CIFAR-100 has one), in a folder that has no classes itself.
    others = [folder for folder in folders if split_of(folder.name) is None]
    if "train" in found and others:
        found["train"] = [f for f in found["train"] if folders_in(f, walk)] or []
        for folder in found["train"] if found.keys() == {"train"} else []:
            if not is_split_word(folder.name):  # a bullet train beside cars
                raise ConfigError(
                    f"{where}: folder '{shown(folder.name)}' beside {len(folders) - 1} others "
                    f"could be a class or the training split; allowed: {LAYOUTS}"
                )
    for split, several in found.items():
        with_classes = [folder for folder in several if folders_in(folder, walk)]
        if len(several) > 1 and len(with_classes) > 1:
            named = ", ".join(f"'{shown(folder.name)}'" for folder in with_classes)
            raise ConfigError(
                f"{where} has {len(with_classes)} folders for the {split} split ({named}); "
                "allowed: one (data.test names the one to test on)"
            )
        found[split] = with_classes or several
    return {split: several[0] for split, several in found.items() if several}


def _with_splits(
    root: Path, by_split: dict[str, Path], named: Path | None, where: str, walk: Walk
) -> Layout:
    folder = _inner(by_split["train"], walk)
    layout = Layout(train=_list(root, folder, where, walk))
    layout.places["training"] = folder
    if named is not None:
        layout.test, layout.test_from = _list(root, _inner(named, walk), where, walk), "test"
        layout.places["test"] = named
        return layout
    annotations = annotations_of(root)
    if annotations is not None:
        files, classes = zip(*annotated_images(annotations, where), strict=True)
        layout.test, layout.test_from = Split(files=files, classes=classes), "validation"
        layout.places["test"] = annotations.parent
        return layout
    _choose_test(root, by_split, layout, where, walk)
    return layout


def _choose_test(
    root: Path, by_split: dict[str, Path], layout: Layout, where: str, walk: Walk
) -> None:
    candidates = [split for split in ("test", "validation") if split in by_split]
    for split in candidates:
        folder = _inner(by_split[split], walk)
        place = relative(root, folder)
        found = _list(root, folder, where, walk) if folders_in(folder, walk) else None
        # A single folder around images that nobody labelled (`test/unknown`) is no class.
        lone = found is not None and len(set(found.classes)) == 1
        secret = lone and found is not None and not set(found.classes) & set(layout.train.classes)
        if found is not None and found.files and not (secret and split != candidates[-1]):
            layout.test, layout.test_from = found, split
            layout.places["test"] = folder
            if split != candidates[-1]:
                other = shown(by_split[candidates[-1]].name)
                layout.notes.append(f"folder '{other}' is left out: '{place}' is tested on")
            return
        layout.notes.append(
            f"the {split} split ('{place}') has no labels, and is not used"
            + (": tested on the validation split" if split != candidates[-1] else "")
        )


def _classes_alone(
    root: Path, folders: list[Path], named: Path | None, where: str, walk: Walk
) -> Layout:
    for folder in folders:
        if is_split_word(folder.name):
            raise ConfigError(
                f"{where}: folder '{shown(folder.name)}' beside {len(folders) - 1} others could be "
                f"a class or a split; allowed: {LAYOUTS} (a class of this name in train/)"
            )
        inner = [f for f in folders_in(folder, walk) if is_split_word(f.name)]
        if inner:
            way_out = f" (is it folder:{shown(str(folder))}?)" if len(folders) == 1 else ""
            raise ConfigError(
                f"{where}: class folder '{shown(folder.name)}' holds a split's folder, "
                f"'{shown(inner[0].name)}'{way_out}; allowed: {LAYOUTS}"
            )
    layout = Layout(train=_list(root, root, where, walk, without=named))
    layout.places["training"] = root
    if named is not None:
        layout.test, layout.test_from = _list(root, _inner(named, walk), where, walk), "test"
        layout.places["test"] = named
    return layout


def _inner(folder: Path, walk: Walk) -> Path:
    """A split's folder, or the one that an archive put into it under the same word."""
    inside = folders_in(folder, walk)
    if len(inside) == 1 and split_of(inside[0].name) == split_of(folder.name):
        return _inner(inside[0], walk) if folders_in(inside[0], walk) else folder
    return folder


def _list(root: Path, folder: Path, where: str, walk: Walk, without: Path | None = None) -> Split:
    folders: dict[str, list[Path]] = {}
    for path in folders_in(folder, walk):
        if path != without:
            folders.setdefault(_class_name(path, where), []).append(path)
    if not folders:
        name = "." if folder == root else folder.name
        raise ConfigError(f"{where} has no class folders in '{shown(name)}'; allowed: {LAYOUTS}")
    files = {
        name: [file for path in folders[name] for file in files_below(path, EXTENSIONS, walk)]
        for name in sorted(folders)
    }
    if walk.linked:
        _refuse_two_classes(files, folder, where)
    filled = [name for name in files if files[name]]
    if len(filled) < 2 and len(files) > len(filled):
        empty = [shown(name) for name in files if not files[name]]
        raise ConfigError(
            f"{where}: {len(empty)} of {len(files)} classes in '{shown(folder.name)}' have no "
            f"images ({', '.join(empty[:5])}); allowed: {' '.join(EXTENSIONS)} files"
        )
    return Split(
        files=tuple(file for name in files for file in files[name]),
        classes=tuple(name for name in files for _ in files[name]),
        empty=tuple(name for name in files if not files[name]),
    )


def _refuse_two_classes(files: Mapping[str, list[Path]], folder: Path, where: str) -> None:
    """A link to a folder above, or to that of another class, brings images of others into one."""
    seen: dict[tuple[int, int], tuple[str, Path]] = {}
    for name, mine in files.items():
        for file in mine:
            status = file.stat()
            other, first = seen.setdefault((status.st_dev, status.st_ino), (name, file))
            if other != name:
                raise ConfigError(
                    f"{where}: links bring an image into two classes ('{relative(folder, file)}' "
                    f"is '{relative(folder, first)}'); allowed: each image in one class"
                )


def _class_name(folder: Path, where: str) -> str:
    try:
        folder.name.encode()
    except UnicodeEncodeError:
        raise ConfigError(
            f"{where}: the name of folder {shown(folder.name)!r} is no UTF-8; allowed: names that "
            "are"
        ) from None
    return same_form(folder.name)


def _loose_notes(root: Path, layout: Layout, walk: Walk) -> list[str]:
    """Files that are neither read nor looked for elsewhere."""
    told = []
    for place in layout.places.values():
        loose = [file for file in files_in(place, walk) if file.suffix.lower() in EXTENSIONS]
        if loose:
            told.append(
                f"{len(loose)} images in '{relative(root, place)}' lie in no class folder and are "
                "left out"
            )
        hidden = hidden_with(place, EXTENSIONS)
        if hidden:
            told.append(
                f"{len(hidden)} hidden folders of images in '{relative(root, place)}' are left out "
                f"({shown(hidden[0])}); a class needs another name"
            )
    told += _inner_notes(layout.places["training"], layout.train)
    if walk.others:
        count, kinds = sum(walk.others.values()), sorted(walk.others)
        told.append(
            f"{count} files in class folders are of a kind that is not read "
            f"({shown(', '.join(kinds[:5]))})"
        )
    return told


def _inner_notes(place: Path, train: Split) -> list[str]:
    """Folders in class folders are no classes; where one holds several, they may be meant so."""
    inner: dict[str, set[str]] = {}
    for file, name in zip(train.files, train.classes, strict=True):
        parts = file.relative_to(place).parts
        if len(parts) > 2:
            inner.setdefault(name, set()).add(parts[1])
    several = {name: sorted(folders) for name, folders in inner.items() if len(folders) > 1}
    if not several:
        return []
    name, folders = next(iter(several.items()))
    return [
        f"{len(several)} class folders hold several folders of images, which count as one class "
        f"('{shown(name)}': {shown(', '.join(folders[:5]))})"
    ]


def _refuse_strange_classes(layout: Layout, where: str) -> None:
    known = {*layout.train.classes, *layout.train.empty}
    if len(known) < 2:
        raise ConfigError(
            f"{where} has one class, '{shown(min(known))}'; allowed: 2 or more ({LAYOUTS})"
        )
    if all(map(is_split_word, known)):
        raise ConfigError(
            f"{where}: all classes have names of splits ({shown(', '.join(sorted(known)))}); "
            f"allowed: {LAYOUTS}"
        )
    tested = layout.test.classes if layout.test else ()
    strange = _names(set(tested) - known)
    if strange:
        raise ConfigError(
            f"{where}: {len(strange)} classes of the test split are not in the training "
            f"split ({', '.join(strange[:5])}); allowed: the classes of train"
        )


def _names(names: Collection[str]) -> list[str]:
    return [shown(name) for name in sorted(names)]


def relative(root: Path, folder: Path) -> str:
    """A folder as it is told, from the root where it lies below."""
    return shown(
        folder.relative_to(root).as_posix() if folder.is_relative_to(root) else str(folder)
    )
