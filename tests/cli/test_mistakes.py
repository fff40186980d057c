"""What a user can get wrong: exit status 2 and one line on stderr, before a cluster starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from prac.cli import main


def _refused(command, *words: str) -> str:
    status, out, err = command(*words)
    assert status == 2, err
    assert len(err.splitlines()) == 1, err
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert not [line for line in out.splitlines() if line.startswith("{")]
    return err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        # Names.
        ("--recipe nope", "recipe 'nope' is not known; known: "),
        ("--architectures nope", "architecture 'nope' is not known; known: "),
        ("--architectures no.such:net", "architecture 'no.such:net': module"),
        ("--architectures torchvision:nope", "torchvision architecture 'nope' is not known"),
        ("--architectures conv4 conv4", "each name once"),
        ("--architectures vgg16", "at least 32x32 pixels"),
        ("--data nope", "data set 'nope' is not known; known: "),
        ("--data folder:/no/such/folder", "/no/such/folder"),
        ("--data parquet:/no/such/folder", "/no/such/folder"),
        ("--compare nope", "invalid choice: 'nope'"),
        ("--recipe digitz", "did you mean 'digits'?"),
        ("--architectures resnet9", "did you mean 'resnet8'?"),
        ("--compare vanila", "did you mean 'vanilla'?"),
        ("--set select.treshold=2", "did you mean 'threshold'?"),
        ("--set selct.threshold=2", "did you mean 'select'?"),
        ("--set select.score=eln2", "did you mean 'el2n'?"),
        ("--set train.schedule=cosin", "did you mean 'cosine'?"),
        ("--roundz 2", "did you mean '--rounds'?"),
        ("--compare no.such:thing", "method 'no.such:thing': module 'no.such' can't be imported"),
        ("--compare json:dumps", "is of type function; allowed: a prac.Method"),
        ("--transfer-from nope", "allowed: resnet8, vgg8s, conv4"),
        ("--no-such-option", "--no-such-option"),
        ("--unknown", "see prac"),
        # Numbers.
        ("--rounds 0", "search.rounds 0 is not allowed"),
        ("--rounds many", "invalid int value: 'many'"),
        ("--seed -1", "search.seed -1 is not allowed"),
        ("--epochs 0", "train.epochs 0 is not allowed; allowed: 1 to 32767"),
        ("--workers 0", "workers 0 is not allowed"),
        (
            "--workers 3",
            "1 to 2, the shares of a batch (train.shares=2, --set train.shares=3 makes more",
        ),
        ("--set train.shares=0", "train.shares 0 is not allowed"),
        ("--workers 2 --min-workers 3", "--min-workers 3 is not allowed; allowed: 1 to 2"),
        ("--workers 2 --min-workers 0", "--min-workers 0 is not allowed"),
        ("--cpus-per-round 0", "--cpus-per-round"),
        ("--gpus-per-round -1", "--gpus-per-round"),
        # Rounds to judge.
        ("--judge nonsense", "--judge 'nonsense' is not allowed"),
        ("--judge 0,,2", "--judge"),
        ("--judge 99", "rounds 0 to "),
        ("--judge found", "search.rewind=epoch:1 takes back; allowed: last, all, none, rounds"),
        ("--seeds 0", "--seeds 0 is not allowed; allowed: 1 to 100"),
        ("--seeds three", "--seeds"),
        # Settings.
        (
            "--set budget.min_round_steps=2x",
            "min_round_steps=2x: share '2x' is not allowed; allowed: above 0x, up to 1x",
        ),
        ("--set augment.crop_padding=abc", "--set augment.crop_padding=abc: 'abc' is not allowed"),
        ("--set budget.min_round_steps=ax", "allowed: a whole number, or a share such as 0.5x"),
        ("--set select.soft=1", "select.soft 1.0 is not allowed"),
        ("--set select.soft=0.1 --set select.filter=0.5", "allowed: 0 with select.soft"),
        ("--set search.rewind=never", "epoch:N, step:N, init, learning-rate"),
        ("--set nonsense", "is not SECTION.FIELD=VALUE"),
        ("--set nope.x=1", "section 'nope' is not known"),
        ("--set train.nope=1", "known fields of train"),
        ("--set train.learning_rate=fast", "not a value of type float"),
        ("--set train.learning_rate=nan", "train.learning_rate nan is not allowed"),
        ("--set train.milestones=1,x", "whole numbers with commas"),
        ("--set train.milestones=4,2", "rising epochs"),
        ("--set prune.fraction=1.2", "prune.fraction 1.2 is not allowed"),
        ("--set augment.flip=maybe", "not a value of type bool"),
        ("--set budget.scaling=words", "budget.scaling 'words' is not allowed"),
        ("--set select.threshold=-1", "select.threshold -1 is not allowed"),
        ("--compare proxy --set select.proxy=nope", "architecture 'nope' is not known"),
        ("--set select.score=best", "select.score 'best' is not allowed"),
        ("--set select.score=el2n", "select.score el2n needs select.fraction"),
        ("--set select.sampler=ccs", "and select.score is critical; allowed: another select.score"),
        ("--compare el2n --set select.sampler=balanced", "e.g. --compare el2n-ccs"),
        ("--set select.fraction=1.5", "select.fraction 1.5 is not allowed"),
        ("--set prune.criterion=no.such:one", "prune.criterion 'no.such:one': module"),
        ("--set select.cet=false --set select.cep=false", "at least one true"),
        ("--set search.rewind=sometime", "allowed: epoch:N, step:N, init"),
        ("--set search.rewind=epoch:999", "is past the budget"),
        ("--set search.rewind=step:999999", "is past the budget"),
        # Where things are kept.
        ("--storage nonsense://x", "storage 'nonsense://x' can't be opened"),
    ],
)
def test_options(command, words: str, said: str) -> None:
    assert said in _refused(command, "run", *words.split())


def test_a_home_that_cannot_be_made(command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    # The last --home counts, and the fixture adds one: a pipeline's own command line has none.
    from prac.cli import pipeline

    status = pipeline("x", ["--home", str(tmp_path / "file" / "home")])
    assert status == 2


def test_settings_that_belong_together_are_checked_together(command) -> None:
    words = "plan --architectures conv4 --set train.epochs=1 --set train.milestones= "
    assert "is past the budget" in _refused(
        command, *words.split(), "--set", "search.rewind=epoch:2"
    )
    status, _, err = command(*words.split(), "--set", "search.rewind=init")
    assert (status, err) == (0, "")
    # Either alone would be refused on its way: a budget of 2 epochs, a rewind after the third.
    both = "plan --architectures conv4 --set search.rewind=epoch:30 --set train.epochs=40"
    assert command(*both.split())[0] == 0


def _folder(root: Path, *, classes: int = 2, images: int = 12) -> Path:
    for label in range(classes):
        (root / f"class{label}").mkdir(parents=True)
        for index in range(images):
            pixels = np.full((8, 8, 3), 20 * index + label, np.uint8)
            Image.fromarray(pixels).save(root / f"class{label}" / f"{index}.png")
    return root


def _train_on(command, source: str, *words: str) -> str:
    return _refused(command, "run", "--data", source, "--architectures", "conv4", *words)


def test_an_empty_folder(command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert str(tmp_path / "empty") in _train_on(command, f"folder:{tmp_path / 'empty'}")


def test_a_folder_of_empty_classes(command, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / "classes" / name).mkdir(parents=True)
    told = _train_on(command, f"folder:{tmp_path / 'classes'}")
    assert str(tmp_path / "classes") in told, told
    assert "image" in told, told


def test_corrupt_images(command, tmp_path: Path) -> None:
    folder = _folder(tmp_path / "images")
    (folder / "class1" / "3.png").write_bytes(b"no image")
    assert "3.png" in _train_on(command, f"folder:{folder}")


def test_images_cut_short(command, tmp_path: Path) -> None:
    folder = _folder(tmp_path / "images")
    file = folder / "class0" / "2.png"
    file.write_bytes(file.read_bytes()[:-40])
    assert "2.png" in _train_on(command, f"folder:{folder}")


def _parquet(file: Path, **columns: object) -> str:
    pq.write_table(pa.table(columns), file)
    return f"parquet:{file}"


def _png(value: int) -> bytes:
    import io

    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_parquet_without_images(command, tmp_path: Path) -> None:
    source = _parquet(tmp_path / "table.parquet", label=[0, 1] * 20, text=["words"] * 40)
    assert "image" in _train_on(command, source)


def test_parquet_that_is_none(command, tmp_path: Path) -> None:
    (tmp_path / "table.parquet").write_bytes(b"no table")
    told = _train_on(command, f"parquet:{tmp_path / 'table.parquet'}")
    assert "table.parquet" in told, told
    assert "Parquet" in told, told


def test_a_label_outside_the_classes(command, tmp_path: Path) -> None:
    images = [{"bytes": _png(v), "path": None} for v in range(40)]
    labels = pa.array([0, 1] * 19 + [0, 7])
    schema = pa.schema({"image": pa.struct({"bytes": pa.binary(), "path": pa.string()})})
    import json

    feature = {"label": {"names": ["a", "b"], "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    metadata = {"huggingface": json.dumps({"info": {"features": feature}})}
    table = pa.table({"image": pa.array(images, schema.field("image").type), "label": labels})
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "table.parquet")
    assert "7" in _train_on(command, f"parquet:{tmp_path / 'table.parquet'}")


def test_a_store_that_cannot_be_reached(command, monkeypatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    status, _, err = command("run")
    assert status == 1
    assert len(err.splitlines()) == 1, err
    assert "set MLFLOW_TRACKING_URI" in err


def test_tickets_that_are_not_there(command, tmp_path: Path) -> None:
    status, _, err = command("tickets", "show", str(tmp_path))
    assert status == 2
    assert len(err.splitlines()) == 1
    assert "holds no ticket" in err


@pytest.mark.parametrize(
    "words",
    [
        ("connectivity", "--home", "a\0b"),
        ("tickets", "show", "a\0b"),
        ("tickets", "pull", "x", "--out", "a\0b"),
        ("data", "show", "folder:a\0b"),
        ("run", "--plan", "--storage", "a\0b"),
        ("sweep", "--vary", "select.threshold=1\0,2"),
        ("gc", "--home", "\0"),
    ],
)
def test_a_null_byte_is_refused_wherever_it_stands(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert told.endswith("is not allowed: it has a null byte\n")
    assert all(word in told for word in words if word in ("--home", "--out", "--storage"))


@pytest.mark.parametrize("place", ["file", "file/inside", "/dev/null", "x" * 300])
def test_a_home_that_can_be_no_folder(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    commands = (["gc"], ["pipelines", "list"], ["tickets", "list"], ["sets", "list"])
    plans = (["plan", "--executor", "local"], ["plan"])
    for command in (*commands, *plans):
        assert main([*command, "--home", place]) == 2, command
        told = capsys.readouterr().err
        assert told.startswith("error: ")
        assert place[:20] in told
        assert "the whole text" not in told
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
