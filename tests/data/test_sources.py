"""Opening a data set by name."""

import subprocess
import sys

import pytest

from prac.config.sections import DataConfig
from prac.data.sources import open_source
from prac.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("cifar11", "cifar10"),
        ("parquet:", "parquet:PATH"),
        ("folder", "folder:PATH"),
        ("digits:x", "digits"),
        ("", None),
    ],
)
def test_a_name_that_is_not_known_raises_with_the_names_that_are(
    name: str, close: str | None
) -> None:
    with pytest.raises(ConfigError) as error:
        open_source(DataConfig(source=name))
    assert str(error.value) == (
        f"data set {name!r} is not known; "
        "known: cifar10, cifar100, digits, folder:PATH, package.module:name, parquet:PATH"
        + (f"; did you mean {close!r}?" if close else "")
    )


@pytest.mark.parametrize("name", ["digits", "cifar10", "cifar100"])
def test_a_named_set_opens_under_its_name(name: str) -> None:
    assert open_source(DataConfig(source=name)).name == name


@pytest.mark.parametrize("kind", ["parquet", "folder"])
def test_a_path_that_does_not_exist_raises(kind: str, tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"absent.*allowed: ") as error:
        open_source(DataConfig(source=f"{kind}:{tmp_path}/absent"))
    assert "\n" not in str(error.value)


def test_importing_and_opening_the_digits_imports_nothing_heavy() -> None:
    script = (
        "import sys; from prac.config.sections import DataConfig;"
        "from prac.data.sources import open_source;"
        "source = open_source(DataConfig()); source.summary(); source.fingerprint();"
        "print({'torch', 'torchvision', 'sklearn', 'PIL', 'pyarrow'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
