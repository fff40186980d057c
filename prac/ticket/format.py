"""A ticket: mask, rewind weights and lineage; what a user trains."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from prac.errors import TicketError
from prac.models.catalogue import ImageShape, is_of_user
from prac.models.registry import ShapesUnknown, build_model, state_shapes
from prac.models.state import free_copies, load_state, tied_names, unkept_type
from prac.plugins import is_trusted, name_of
from prac.plugins.beside import find_beside
from prac.pruning.held import hold, release
from prac.pruning.mask import Mask
from prac.pruning.mask_file import mask_from_bytes, mask_to_bytes
from prac.ticket.reading import MANIFEST_FILE, MAX_MANIFEST, MAX_TENSORS, manifest_from, read_inside

MASK_FILE, WEIGHTS_FILE = "mask.safetensors", "weights.safetensors"
TRAINED_FILE, FOUND_FILE = "trained.safetensors", "found.safetensors"
FORMAT = 1


@dataclass(frozen=True, kw_only=True, eq=False)
class Ticket:
    """A sparse trainable subnetwork.

    mask: which of the prunable weights are alive. weights: the rewind weights and BatchNorm
    statistics, pruned ones exactly zero. lineage: JSON values that say what it is and where it
    comes from; the keys `architecture`, `num_classes`, `image_shape`, `class_names`, `mean` and
    `std` say how to build and feed the network. trained: what training the ticket alone made of
    the weights; None where nobody did. found: what the search's own last training under this mask
    left, where weights go on from round to round. trust_code: whether `build` may run the code that
    the lineage names.
    """

    mask: Mask
    weights: Mapping[str, Tensor]
    lineage: Mapping[str, Any]
    trained: Mapping[str, Tensor] | None = None
    trust_code: bool = True
    found: Mapping[str, Tensor] | None = None

    @classmethod
    def of(
        cls,
        mask: Mask,
        rewind_weights: Mapping[str, Tensor],
        lineage: Mapping[str, Any],
        trained: Mapping[str, Tensor] | None = None,
        tied: Mapping[str, str] | None = None,
        found: Mapping[str, Tensor] | None = None,
    ) -> Ticket:
        """A ticket from a mask and the rewind weights of its search.

        tied: names of weights that are another's as well, to that (`prac.models.state.tied_names`);
        None: what the weights tell, of a model's own `state_dict()`.
        """
        tied = tied_names(rewind_weights) if tied is None else tied
        weights = {name: tensor.detach().cpu().clone() for name, tensor in rewind_weights.items()}
        for name, alive in mask.items():
            if name not in weights:
                raise TicketError(f"the rewind weights have no {name}, which the mask has")
            for same in (name, *(other for other, first in tied.items() if first == name)):
                weights[same].masked_fill_(~alive.cpu(), 0.0)
        return cls(
            mask=mask.to("cpu"),
            weights=weights,
            lineage=dict(lineage),
            trained=trained,
            found=found,
        )

    @property
    def sparsity(self) -> float:
        """Share of the prunable weights that is pruned, in [0, 1]."""
        return self.mask.sparsity

    def save(self, folder: str | Path) -> Path:
        """Write mask, weights and a manifest with their checksums into a folder; returns it.

        All are written beside their places and moved there last: a ticket that is there stays until
        the new one is whole. The manifest comes after the others: a folder without one holds no
        ticket. Raises TicketError for a lineage that is no JSON.
        """
        folder = Path(folder)
        files = {MASK_FILE: mask_to_bytes(self.mask), WEIGHTS_FILE: _to_bytes(self.weights)}
        for name, part in ((TRAINED_FILE, self.trained), (FOUND_FILE, self.found)):
            if part is not None:
                files[name] = _to_bytes(part)
        manifest = {
            "format": FORMAT,
            "sparsity": self.sparsity,
            "weights_alive": self.mask.num_alive,
            "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in files.items()},
            "lineage": dict(self.lineage),
        }
        try:
            text = json.dumps(manifest, indent=2, sort_keys=True) + "\n"
        except (TypeError, ValueError) as error:
            raise TicketError(
                f"the ticket's lineage is no JSON ({error}); allowed: text, numbers, true, false, "
                "null, lists and mappings of them"
            ) from error
        files[MANIFEST_FILE] = text.encode()
        folder.mkdir(parents=True, exist_ok=True)
        beside = {name: folder / f".{name}.tmp" for name in files}
        try:
            for name, data in files.items():
                beside[name].write_bytes(data)
            for name, temporary in beside.items():
                temporary.replace(folder / name)
        finally:
            for temporary in beside.values():
                temporary.unlink(missing_ok=True)
        for name in {TRAINED_FILE, FOUND_FILE} - files.keys():
            (folder / name).unlink(missing_ok=True)  # of the ticket that was there
        return folder

    @classmethod
    def load(cls, where: str | Path, *, trust_code: bool = False) -> Ticket:
        """Read a ticket from a folder, `models:/NAME/VERSION` or `models:/NAME@alias`.

        Checksums are verified before anything is used; nothing is unpickled or run. trust_code:
        `build` may import a network that the ticket names as `package.module:name`. Without it,
        only one that this process has imported already, or of a package listed in the variable
        PRAC_TRUSTED_PACKAGES. Raises TicketError.
        """
        folder = _local_folder(str(where))
        if folder.name == MANIFEST_FILE and folder.is_file():
            folder = folder.parent
        manifest_file = folder / MANIFEST_FILE
        if not manifest_file.is_file():
            raise TicketError(f"{where} holds no ticket: there is no {MANIFEST_FILE} in it")
        try:
            manifest = manifest_from(read_inside(folder, MANIFEST_FILE, MAX_MANIFEST), where)
            if manifest.format != FORMAT:
                raise TicketError(f"{where} has format {manifest.format}; known: {FORMAT}")
            more = [n for n in (TRAINED_FILE, FOUND_FILE) if n in manifest.sha256]
            names = [MASK_FILE, WEIGHTS_FILE, *more]
            files = {name: read_inside(folder, name, MAX_TENSORS) for name in names}
            for name, data in files.items():
                if hashlib.sha256(data).hexdigest() != manifest.sha256[name]:
                    raise TicketError(f"{folder / name} fails its checksum: it was changed")
            mask = mask_from_bytes(files[MASK_FILE])
            weights = safetensors.torch.load(files[WEIGHTS_FILE])
            parts = {name: safetensors.torch.load(files[name]) for name in more}
            lineage = manifest.lineage
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            if isinstance(error, TicketError):
                raise
            raise TicketError(f"{where} is damaged ({type(error).__name__}: {error})") from error
        for name, told, has in (
            ("weights_alive", manifest.weights_alive, mask.num_alive),
            ("sparsity", manifest.sparsity, mask.sparsity),
        ):
            if abs(told - has) > 1e-9:
                raise TicketError(f"{where}: {name} of ticket.json is not what the mask has")
        return cls(
            mask=mask,
            weights=weights,
            lineage=lineage,
            trained=parts.get(TRAINED_FILE),
            found=parts.get(FOUND_FILE),
            trust_code=trust_code,
        )

    def verify(self) -> None:
        """Check that weights and mask belong together: every pruned weight exactly zero.

        Raises TicketError that names the first weight that isn't right.
        """
        parts = [("", self.weights), ("trained ", self.trained), ("found ", self.found)]
        known = [(part, weights) for part, weights in parts if weights is not None]
        for part, after in known[1:]:
            for name in self.weights.keys() | after.keys():
                found, wanted = after.get(name), self.weights.get(name)
                if found is None or wanted is None or found.shape != wanted.shape:
                    raise TicketError(
                        f"the ticket's {part}weight {name} is missing, of another shape than the "
                        "rewind weight, or has none beside it"
                    )
        for part, weights in known:
            for name, alive in self.mask.items():
                weight = weights.get(name)
                if weight is None or weight.shape != alive.shape:
                    raise TicketError(
                        f"the ticket's {part}weight {name} is missing or of another shape"
                    )
                wrong = int((weight[~alive] != 0).sum())
                if wrong:
                    raise TicketError(f"{wrong} pruned {part}weights of {name} are not zero")
            for name, weight in weights.items():
                _require_numbers(f"the ticket's {part}{name}", weight)

    def build(self, *, trained: bool = False, found: bool = False, keep: bool = True) -> nn.Module:
        """The network with this ticket applied, built from the lineage.

        trained: with the trained weights, to predict; found: with those that the search left;
        otherwise with the rewind weights, to train. keep: as `apply` takes it.
        """
        if found and self.found is None and self.lineage.get("as_found"):
            # Those that it was judged by.
            found, trained = False, True
        if found and self.found is None:
            raise TicketError(
                "the ticket has no weights as found: only searches whose weights go on "
                "(search.rewind=learning-rate) leave them, of masks that they train"
            )
        if trained and self.trained is None:
            raise TicketError(
                "the ticket has no trained weights: it was not judged; train it first"
            )
        try:
            name = self.network_name()
            classes = int(self.lineage["num_classes"])
            height, width, channels = self.lineage["image_shape"]
            shape = height, width, channels
            if not is_of_user(name):
                # A name of few letters may be a network of gigabytes.
                self._require_fits(name, classes, shape)
            model = build_model(name, num_classes=classes, image_shape=shape, seed=0)
        except KeyError as error:
            raise TicketError(
                f"the ticket's lineage has no {error}; apply it to a model"
            ) from error
        part = self.found if found else self.trained if trained else None
        told = self if part is None else dataclasses.replace(self, weights=part)
        return told.apply(model, keep=keep)

    def _require_fits(self, name: str, classes: int, shape: ImageShape) -> None:
        try:
            shapes = state_shapes(name, num_classes=classes, image_shape=shape)
        except ShapesUnknown as error:
            if self.trust_code:
                return  # making it says what is wrong
            raise TicketError(
                f"whether the ticket fits its network can't be told before that is made ({error}); "
                "it is made with --trust-code, or Ticket.load(..., trust_code=True)"
            ) from error
        own = {name: tuple(weight.shape) for name, weight in self.weights.items()}
        for name in (*shapes, *own):
            if shapes.get(name) != own.get(name):
                raise TicketError(
                    f"the ticket doesn't fit its network: the weight {name} is "
                    f"{own.get(name, 'not there')}, and {self.lineage['architecture']} for "
                    f"{self.lineage['num_classes']} classes has {shapes.get(name, 'none')}"
                )

    def network_name(self) -> str:
        """The architecture, where it may be built. Raises TicketError for code without consent,
        KeyError where the lineage has none."""
        name: str = self.lineage["architecture"]
        if not is_of_user(name):
            return name
        if self.trust_code or is_trusted(name):
            find_beside([name])
            return name
        raise TicketError(
            f"the ticket names code to run, {name}; nothing of it was imported. If you trust who "
            "made it: --trust-code, or Ticket.load(..., trust_code=True)"
        )

    def with_network(self, network: Any) -> Ticket:
        """The same ticket of a network that is handed over: a callable, or a name. For tickets of
        a callable that another process had, which `build` can't find."""
        lineage = {**self.lineage, "architecture": name_of(network)}
        return dataclasses.replace(self, lineage=lineage, trust_code=True)

    def __repr__(self) -> str:
        told = {name: self.lineage.get(name, "?") for name in ("architecture", "data", "method")}
        trained = "trained" if self.trained is not None else "not trained"
        return (
            f"Ticket({told['architecture']} on {told['data']} by {told['method']}, sparsity "
            f"{self.sparsity:.2%}, {self.mask.num_alive} weights alive, {trained})"
        )

    def apply(self, model: nn.Module, *, keep: bool = True) -> nn.Module:
        """Load the weights into `model` and return it.

        keep: hold pruned weights at exactly zero through whatever trains, copies, saves or loads
        the model, as `prac.pruning.held.hold` says; a ticket applied before holds nothing any
        longer. Raises TicketError where the model doesn't fit.
        """
        release(model)
        try:
            load_state(model, self.weights)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise TicketError(f"the ticket doesn't fit the model: {reason[:300]}") from error
        self.mask.apply_(model)
        if keep:
            hold(model, self.mask)
        return model


def _require_numbers(what: str, weight: Tensor) -> None:
    if (kind := unkept_type(weight)) is not None:
        raise TicketError(f"{what} is of {kind}; allowed: real numbers of 16 bits or more")
    if weight.is_floating_point() and not bool(torch.isfinite(weight).all()):
        raise TicketError(f"{what} holds values that are not finite")


def _to_bytes(weights: Mapping[str, Tensor]) -> bytes:
    data: bytes = safetensors.torch.save(free_copies(weights))
    return data


def _local_folder(where: str) -> Path:
    """The folder of a ticket; a location with a scheme is brought by who registered for it."""
    scheme, colon, _ = where.partition(":/")
    if not colon or len(scheme) < 2:
        return Path(where)
    for entry in entry_points(group="prac.locations", name=scheme):
        bring = entry.load()
        return Path(bring(where))
    known = sorted({entry.name for entry in entry_points(group="prac.locations")})
    raise TicketError(f"{where}: nothing opens {scheme}:/; known: a folder, {', '.join(known)}")
