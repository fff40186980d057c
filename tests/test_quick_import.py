import gc

import pytest

from prac.quick_import import quick_import


def test_the_collector_rests_inside_and_comes_back() -> None:
    assert gc.isenabled()
    with quick_import():
        assert not gc.isenabled()
        with quick_import():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ImportError), quick_import():
        raise ImportError
    assert gc.isenabled()
