import sys
from pathlib import Path

import pytest

from prac.errors import ConfigError
from prac.plugins import load_custom


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("raise AttributeError('inside')", "x", "can't be imported: AttributeError: inside; is"),
        ("import sys; sys.exit(4)", "x", "can't be imported: SystemExit: 4; is it"),
        ("def small(): ...", "smal", r"has no 'smal'; did you mean 'small'\?$"),
        ("x = 1", "quite_different", "has no 'quite_different'$"),
    ],
)
def test_what_can_not_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, name: str, said: str
) -> None:
    (tmp_path / "loaded.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "loaded", raising=False)
    with pytest.raises(ConfigError, match=f"^network 'loaded:{name}': module 'loaded' {said}"):
        load_custom("network", f"loaded:{name}")
