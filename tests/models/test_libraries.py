"""Networks of timm by name: nothing is downloaded, and what isn't there is one line."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torchvision import models

from prac.config.recipes import digits
from prac.data.sources import open_source
from prac.errors import ConfigError
from prac.lottery.networks import initial_digests
from prac.models.check import check_architecture
from prac.models.initial import started
from prac.models.registry import build_model
from prac.plugins import identity

with_timm = pytest.mark.skipif(find_spec("timm") is None, reason="pip install 'prac[timm]'")


@with_timm
@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_efficientnet"])
@pytest.mark.parametrize("shape", [(32, 48, 1), (64, 64, 3)])
def test_a_network_of_timm_fits_the_images(name: str, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    model = build_model(f"timm:{name}", num_classes=7, image_shape=shape, seed=3)
    with torch.no_grad():
        assert model.eval()(torch.zeros(2, shape[2], *shape[:2])).shape == (2, 7)
    assert torch.equal(torch.get_rng_state(), before)
    again = build_model(f"timm:{name}", num_classes=7, image_shape=shape, seed=3)
    assert all(
        torch.equal(one, other)
        for one, other in zip(model.parameters(), again.parameters(), strict=True)
    )


@with_timm
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnt18", "'resnt18' is not known; known: 1.* such as .*did you mean 'resnet18'"),
        ("hf-hub:stranger/net", "is not known"),
        ("create_model", "is not known"),
        ("vit_tiny_patch16_224", "images of 8x8 pixels"),
    ],
)
def test_what_timm_does_not_have_is_one_line(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        check_architecture(f"timm:{name}", 10, (8, 8, 3))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


@with_timm
def test_its_version_is_in_keys_and_no_plan_imports_it() -> None:
    assert identity("timm:resnet18")[1].startswith("timm==")
    code = (
        "import sys; from prac.plugins import identity; identity('timm:resnet18');"
        "sys.exit('timm' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_timm_a_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    line = "'timm:resnet18' needs timm, which is not installed: pip install 'prac"
    with pytest.raises(ConfigError, match=line):
        check_architecture("timm:resnet18", 10, (32, 32, 3))
    recipe = digits().replace(architectures=("timm:resnet18",))
    with pytest.raises(ConfigError, match=line):
        initial_digests(recipe, open_source(recipe.data))


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_weights_of_networks_with_auxiliary_heads(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files of torchvision have those heads, its networks of ours don't."""
    (weights,) = models.get_model_weights(name)
    theirs = models.get_model(name, weights=None, aux_logits=True, init_weights=False)
    kept = theirs.state_dict()
    file = tmp_path / "hub" / "checkpoints" / weights.url.rpartition("/")[2]
    file.parent.mkdir(parents=True)
    torch.save(kept, file)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    given = {"num_classes": 3, "image_shape": (96, 96, 3), "seed": 0}
    state = started(f"torchvision:{name}", weights.name, **given).state_dict()
    assert state["fc.weight"].shape == (3, kept["fc.weight"].shape[1])
    assert {n.partition(".")[0] for n in kept.keys() - state.keys()} <= {
        "AuxLogits",
        "aux1",
        "aux2",
    }
    alike = [n for n in state if not n.startswith("fc.")]
    assert all(torch.equal(state[n], kept[n]) for n in alike)
