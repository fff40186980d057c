import ast
import importlib
import importlib.metadata
import os
import py_compile
import random
import subprocess
import sys
import textwrap
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prac.errors import ConfigError
from prac.plugins import identity, load_custom
from prac.plugins import source as plugin_source
from prac.plugins.source import normalised, source_of

FILES = {
    "__init__.py": '"""Networks."""\n',
    "nets.py": '''
        """Small networks."""
        from torch import nn
        from .parts import block
        from .deep.helper import widths

        def small(num_classes, in_channels):
            """A network."""  # with a comment
            first = block(in_channels, widths())
            return nn.Sequential(first, nn.ReLU(), nn.LazyLinear(num_classes))
        ''',
    "parts.py": """
        def block(i, o):
            from torch import nn
            from . import lazy
            return nn.Sequential(nn.Conv2d(i, o, 3), nn.Flatten(), lazy.layer())
        """,
    "lazy.py": "from torch import nn\ndef layer(): return nn.Identity()\n",
    "deep/__init__.py": "",
    "deep/helper.py": "from ..numbers import WIDTH\ndef widths(): return WIDTH * 2\n",
    "numbers.py": "WIDTH = 8\n",
    "unrelated.py": "X = 1\n",
}


class Folder:
    """A folder on sys.path, with `userpkg` in it."""

    def __init__(self, where: Path) -> None:
        self.where = where

    def write(self, name: str, text: str) -> Path:
        file = self.where / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        importlib.invalidate_caches()
        return file

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.where / name).read_text()
        assert text.count(old) == 1
        self.write(name, text.replace(old, new))


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folder]:
    monkeypatch.syspath_prepend(tmp_path)
    loaded = set(sys.modules)
    folder = Folder(tmp_path)
    for name, text in FILES.items():
        folder.write(f"userpkg/{name}", text)
    yield folder
    for name in set(sys.modules) - loaded:
        del sys.modules[name]


NAME = "userpkg.nets:small"


def test_a_name_of_ours_is_itself() -> None:
    assert identity("resnet20") == ("resnet20",)
    for name in ("torchvision:resnet18", "torch.nn:ReLU", "prac.pruning.criteria:snip", "sys:exit"):
        assert identity(name) == (name,)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("nets.py", "nn.ReLU()", "nn.GELU()"),
        ("nets.py", "(num_classes, in_channels)", "(num_classes, in_channels=1)"),
        ("parts.py", "3)", "5)"),
        ("lazy.py", "Identity", "ReLU"),
        ("deep/helper.py", "* 2", "* 3"),
        ("deep/__init__.py", "", "import torch; torch.set_default_dtype(torch.float64)"),
        ("__init__.py", '"""Networks."""', "LOUD = True"),
        ("numbers.py", "8", "9"),
        ("numbers.py", "8", "8.0"),
    ],
)
def test_what_changes_a_network_s_identity(users: Folder, file: str, old: str, new: str) -> None:
    before = identity(NAME)
    assert (before[0], len(before)) == (NAME, 2)
    users.replace(f"userpkg/{file}", old, new)
    after = identity(NAME)
    assert (after[0], len(after)) == (NAME, 2)
    assert after != before
    users.write(f"userpkg/{file}", FILES[file])
    assert identity(NAME) == before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("nets.py", "# with a comment", "# with another"),
        ("nets.py", '"""A network."""', ""),
        ("nets.py", '"""Small networks."""', "'''Smaller\nnetworks.'''\n\n\n"),
        ("nets.py", "nn.ReLU(), ", "\n  nn.ReLU(\n),  # rectified\n"),
        ("nets.py", "    return nn.Seq", "    pass\n    'a remark'\n    return nn.Seq"),
        ("numbers.py", "8", "(0x8)"),
        ("unrelated.py", "1", "2"),
    ],
)
def test_what_does_not(users: Folder, file: str, old: str, new: str) -> None:
    before = identity(NAME)
    users.replace(f"userpkg/{file}", old, new)
    assert identity(NAME) == before


def test_neither_the_folder_nor_what_is_loaded_counts(
    users: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = identity(NAME)
    assert not [name for name in sys.modules if name.startswith("userpkg")]
    load_custom("network", NAME)
    assert identity(NAME) == before
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / "userpkg").rename(moved / "userpkg")
    for name in [name for name in sys.modules if name.startswith("userpkg")]:
        del sys.modules[name]
    with pytest.raises(ConfigError, match=r"module 'userpkg.nets' has no file .* PYTHONPATH\?$"):
        identity(NAME)
    monkeypatch.syspath_prepend(moved)
    assert identity(NAME) == before


def test_loose_modules_beside_and_on_the_path_count(users: Folder) -> None:
    users.write("loose.py", "import beside\ndef f(): return beside.x\n")
    users.write("beside.py", "x = 1\n")
    before = identity("loose:f")
    users.write("beside.py", "x = 2\n")
    assert identity("loose:f") != before


def test_a_literal_name_that_is_imported_counts(users: Folder) -> None:
    users.write("userpkg/later.py", "import importlib\ndef f(): importlib.import_module('.x', 'u')")
    users.write("userpkg/x.py", "x = 1\n")
    before = identity("userpkg.later:f")
    users.write("userpkg/x.py", "x = 2\n")
    assert identity("userpkg.later:f") != before


def test_installed_distributions_count_by_version(
    users: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "import json, numpy, torch.nn\nfrom torchvision import ops\nimport prac.config\n"
    users.write("strategy.py", text)
    assert len(identity("strategy:f")) == 2
    users.write("strategy.py", f"{text}def f():\n    from hypothesis.strategies import floats\n")
    version = importlib.metadata.version("hypothesis")
    assert identity("strategy:f")[2:] == (f"hypothesis=={version}",)
    # What comes from a distribution altogether has its version alone.
    assert identity("hypothesis:given") == ("hypothesis:given", f"hypothesis=={version}")


def forget() -> None:
    plugin_source._kept.clear()
    plugin_source._distributions.cache_clear()
    plugin_source._version.cache_clear()


def install(folder: Folder, code: str, record: str, origin: str) -> None:
    folder.write("site-packages/theirs/__init__.py", code)
    folder.write("site-packages/theirs-1.0.dist-info/METADATA", "Name: theirs\nVersion: 1.0\n")
    folder.write("site-packages/theirs-1.0.dist-info/top_level.txt", "theirs\n")
    folder.write("site-packages/theirs-1.0.dist-info/RECORD", record)
    folder.write("site-packages/theirs-1.0.dist-info/direct_url.json", origin)
    forget()


def test_a_version_that_says_nothing_of_the_code(
    users: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(users.where / "site-packages")
    record = "theirs/__init__.py,sha256={},9\ntheirs-1.0.dist-info/direct_url.json,sha256={},9\n"
    archive = '{"archive_info": {}, "url": "x"}'
    install(users, "x = 1", record.format("aa", "bb"), archive)
    assert identity("theirs:x") == ("theirs:x", "theirs==1.0")
    folder = '{"dir_info": {}, "url": "x"}'
    install(users, "x = 1", record.format("aa", "bb"), folder)
    before = identity("theirs:x")
    assert before[1].startswith("theirs==1.0+")
    install(users, "x = 1", record.format("aa", "cc"), folder)
    assert identity("theirs:x") == before
    install(users, "x = 2", record.format("dd", "cc"), folder)
    assert identity("theirs:x") != before
    # A file that someone put there, of no distribution, counts as source.
    users.write("site-packages/dropped.py", "x = 1")
    assert len(identity("dropped:x")[1]) == 64
    forget()


def test_circles_end(users: Folder) -> None:
    users.write("one.py", "import two\nx = 1\n")
    users.write("two.py", "import one, two\nfrom one import x\n")
    before = identity("one:x")
    users.write("two.py", "import one, two\nfrom one import y\n")
    assert identity("one:x") != before


def test_reading_runs_nothing(users: Folder) -> None:
    users.write("bomb/__init__.py", "import os; os.environ['BOMB'] = '1'; raise SystemExit(3)\n")
    users.write("bomb/inner.py", "x = 1\n")
    users.write("careful.py", "try:\n    import bomb.inner\nexcept BaseException:\n    pass\n")
    before = identity("careful:f")
    assert identity("bomb.inner:x")[0] == "bomb.inner:x"
    users.write("bomb/inner.py", "x = 2\n")
    assert identity("careful:f") != before
    assert "BOMB" not in os.environ
    assert not {"bomb", "bomb.inner", "careful"} & set(sys.modules)


def test_namespace_packages(users: Folder) -> None:
    users.write("space/deeper/nets.py", "from . import part\nfrom space.other import two\n")
    users.write("space/deeper/part.py", "x = 1\n")
    users.write("space/other/two.py", "x = 1\n")
    seen = {identity("space.deeper.nets:x")}
    users.write("space/deeper/part.py", "x = 2\n")
    seen.add(identity("space.deeper.nets:x"))
    users.write("space/other/two.py", "x = 2\n")
    seen.add(identity("space.deeper.nets:x"))
    assert len(seen) == 3
    importlib.import_module("space.deeper.nets")
    assert identity("space.deeper.nets:x") in seen
    with pytest.raises(ConfigError, match=r"'space.deeper' has no file"):
        identity("space.deeper:x")


def test_modules_without_source(users: Folder) -> None:
    def compile_to(text: str) -> None:
        file = users.write("hidden.py", text)
        py_compile.compile(str(file), cfile=str(users.where / "hidden.pyc"))
        file.unlink()
        importlib.invalidate_caches()

    users.write("shown.py", "import hidden\n")
    compile_to("x = 1")
    before = identity("hidden:x"), identity("shown:x")
    assert len(before[0]) == 2
    compile_to("x = 2")
    assert identity("hidden:x") != before[0]
    assert identity("shown:x") != before[1]


def test_modules_in_an_archive(users: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def archive(name: str, text: str) -> tuple[str, ...]:
        with zipfile.ZipFile(users.where / name, "w") as file:
            file.writestr("zipped/__init__.py", "")
            file.writestr("zipped/nets.py", text)
        monkeypatch.syspath_prepend(users.where / name)
        return identity("zipped.nets:x")

    assert archive("a.zip", "x = 1") != archive("b.zip", "x = 2")
    assert len(archive("a.zip", "x = 1")) == 2


def test_a_helper_with_a_fault_counts_by_its_bytes(users: Folder) -> None:
    users.write("strategy.py", "def f():\n    import faulty\n")
    seen = set()
    for text in ("x = ", "x =", "x = 1"):
        users.write("faulty.py", text)
        seen.add(identity("strategy:f"))
    assert len(seen) == 3


@pytest.mark.filterwarnings("error")
def test_what_python_warns_of_is_read_all_the_same(users: Folder) -> None:
    text = 'x = "\\d" is 3  # {}\n'
    users.write("odd.py", text.format("one"))
    before = identity("odd:x")
    users.write("odd.py", text.format("two"))
    assert identity("odd:x") == before


def test_a_user_s_file_may_have_a_name_of_the_standard_library(users: Folder) -> None:
    for top in ("chunk", "this"):  # not imported by anything here
        sys.modules.pop(top, None)
        users.write(f"{top}.py", "x = 1")
        before = identity(f"{top}:x")
        users.write(f"{top}.py", "x = 2")
        assert len(before) == 2
        assert identity(f"{top}:x") != before


def test_a_change_within_the_clock_s_tick_is_seen(users: Folder) -> None:
    file = users.write("loose.py", "x = 1")
    status = file.stat()
    before = identity("loose:x")
    file.write_text("x = 2")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert identity("loose:x") != before


def test_a_plan_reads_each_file_once(users: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Path] = []
    read = plugin_source._read
    monkeypatch.setattr(plugin_source, "_read", lambda f, s: (reads.append(f), read(f, s))[1])
    for file in users.where.rglob("*.py"):
        os.utime(file, (1e9, 1e9))
    started = time.perf_counter()
    assert len({identity(NAME) for _ in range(2000)}) == 1
    assert time.perf_counter() - started < 2  # 0.1 s on a free core
    assert len(reads) == len(set(reads)) == 7
    os.utime(users.where / "userpkg" / "numbers.py", (1e9 + 1, 1e9 + 1))
    identity(NAME)
    assert len(reads) == 14


def test_names_are_told_without_torch(users: Folder) -> None:
    code = (
        "import sys; from prac.plugins import identity; print(identity('a.b:c'));"
        "sys.exit({'torch', 'numpy', 'a'} & set(sys.modules) or None)"
    )
    users.write("a/b.py", "import torch")
    path = os.pathsep.join([*sys.path])
    made = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True
    )
    assert made.returncode == 0, made.stderr
    assert identity("a.b:c")[1].encode() in made.stdout


LIBRARY = sorted(Path(ast.__file__).parent.glob("*.py"))


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(LIBRARY), st.randoms(use_true_random=False))
def test_reformatting_keeps_the_normalised_source(file: Path, chance: random.Random) -> None:
    text = file.read_text(encoding="utf-8")
    before = normalised(ast.parse(text))
    assert normalised(ast.parse(ast.unparse(ast.parse(text)))) == before
    # Between two statements of the module: a comment, empty lines, a string, `pass`.
    lines = text.splitlines(keepends=True)
    for statement in reversed(ast.parse(text).body):
        if statement.col_offset == 0 and chance.random() < 0.3:
            decorators = getattr(statement, "decorator_list", ())
            first = min(node.lineno for node in (statement, *decorators))
            added = chance.choice(["# a remark\n", "\n\n", "'a string'\n", "pass\n"])
            lines.insert(first - 1, added)
    assert normalised(ast.parse("".join(lines))) == before


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(LIBRARY), st.randoms(use_true_random=False))
def test_another_constant_is_another_source(file: Path, chance: random.Random) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    before = normalised(tree)
    numbers = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and type(n.value) is int]
    if numbers:
        chance.choice(numbers).value += 1
        assert normalised(tree) != before


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("raise AttributeError('inside')", "x", "can't be imported: AttributeError: inside; is"),
        ("import sys; sys.exit(4)", "x", "can't be imported: SystemExit: 4; is it"),
        ("def small(): ...", "smal", r"has no 'smal'; did you mean 'small'\?$"),
        ("x = 1", "quite_different", "has no 'quite_different'$"),
    ],
)
def test_what_can_not_be_loaded(users: Folder, text: str, name: str, said: str) -> None:
    users.write("loaded.py", text)
    with pytest.raises(ConfigError, match=f"^network 'loaded:{name}': module 'loaded' {said}"):
        load_custom("network", f"loaded:{name}")


def test_what_the_source_of_a_module_is(users: Folder) -> None:
    assert source_of("userpkg.nets") == identity(NAME)[1:]
    assert source_of("json") == source_of("torch.nn") == ()
    with pytest.raises(ConfigError, match="module 'no_such_module' has no file"):
        source_of("no_such_module")
