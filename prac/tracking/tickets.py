"""Tickets in MLflow: a run each in an experiment of their own, a version of a registered model."""

from __future__ import annotations

import re
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prac.errors import TicketError, first_line
from prac.scratch import scratch_folder
from prac.tracking.address import default_tracking_uri
from prac.tracking.connection import TICKETS, Connection
from prac.tracking.datasets import DataInput, log_inputs
from prac.tracking.local import local_folder
from prac.tracking.pages import pages
from prac.tracking.views import metric_of, ticket_view

# MLflow takes a second to import: whoever only names a store, as a plan does, needs none of it.

_BROUGHT: list[tempfile.TemporaryDirectory[str]] = []
"""Copies of tickets on servers; each is removed when this process ends."""

_DATA = "prac.data"
_OF_MODEL = ("architecture", "data")
"""Tags that all tickets of a model share: it has them in their place."""


def model_name(data_name: str, architecture: str) -> str:
    """The registered model of a data set and an architecture; letters that MLflow refuses are -."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", f"prac-{data_name}-{architecture}").strip("-")


def register(
    store: Connection,
    name: str,
    key: str,
    describe: Callable[[str], str],
    tags: Mapping[str, str],
    inputs: Sequence[DataInput] = (),
    data: str = "",
    charted: Mapping[str, float] | None = None,
) -> Callable[[str, str], None]:
    """What registers a ticket as a model version once its artifacts are logged.

    describe: makes the page's text from `models:/NAME/VERSION`, which is known only now. A version
    that a killed process left behind for the same key is replaced. data: the fingerprint of the
    data set; where another data set of the same name has the model, this one's has eight digits of
    it behind its name. charted: metrics of the run, each by its name among those of the model.
    """
    wanted = name
    own = {tag: value for tag, value in tags.items() if tag not in _OF_MODEL}

    def register_run(run_id: str, artifact_uri: str) -> None:
        """Make the version of this run, and name it in the run."""
        log_inputs(store, run_id, inputs)
        client = store.client
        name = wanted
        if not _make_model(store, name, tags, data) and _is_another_s(store, name, data):
            name = _named_by(name, data)
            _make_model(store, name, tags, data)
        for metric, value in (charted or {}).items():
            client.log_metric(run_id, metric_of(name, metric), value)
        for version in client.search_model_versions(f"name = '{name}'"):
            if version.tags.get("prac.key") == key:
                client.delete_model_version(name, version.version)
        version = client.create_model_version(
            name,
            source=f"{artifact_uri.rstrip('/')}/ticket",
            run_id=run_id,
            tags={"prac.key": key, **_data_tag(data), **own},
        )
        where = f"models:/{name}/{version.version}"
        description = describe(where)
        client.update_model_version(name, version.version, description)
        client.set_tag(run_id, "mlflow.note.content", description)
        client.set_tag(run_id, "prac.ticket", where)

    return register_run


def model_of(store: Connection, data_name: str, architecture: str, data: str) -> str:
    """The registered model of the data set with this fingerprint: by its name, unless another data
    set of the same name had that before."""
    name = model_name(data_name, architecture)
    with store.reached():
        return _named_by(name, data) if _is_another_s(store, name, data) else name


def _named_by(name: str, data: str) -> str:
    return f"{name}-{data[:8]}"


def _data_tag(data: str) -> dict[str, str]:
    return {_DATA: data} if data else {}


def _is_another_s(store: Connection, name: str, data: str) -> bool:
    return _owner(store, name, _versions(store, name)) not in ("", data) and data != ""


def _owner(store: Connection, name: str, versions: Sequence[Any]) -> str:
    """The data set whose tickets a registered model has; empty where nothing tells it.

    Models of earlier versions don't say so: theirs is the one of their first ticket.
    """
    from mlflow.exceptions import MlflowException

    try:
        tags: Mapping[str, str] = store.client.get_registered_model(name).tags
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return ""
    if _DATA in tags:
        return tags[_DATA]
    oldest = sorted(versions, key=lambda version: int(version.version))
    return next((found for v in oldest if (found := _data_of(store, v))), "")


def _data_of(store: Connection, version: Any) -> str:
    """The fingerprint of the data set that a version's ticket is of; empty where nothing tells."""
    from mlflow.exceptions import MlflowException

    if _DATA in version.tags or not version.run_id:
        return str(version.tags.get(_DATA, ""))
    try:
        return str(store.client.get_run(version.run_id).data.tags.get(_DATA, ""))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return ""


def _make_model(store: Connection, name: str, tags: Mapping[str, str], data: str) -> bool:
    """Whether it had to be made."""
    from mlflow.exceptions import MlflowException

    try:
        store.client.create_registered_model(
            name,
            tags={**{k: v for k, v in tags.items() if k in _OF_MODEL}, **_data_tag(data)},
            description=(
                f"Lottery tickets of {tags.get('architecture')} on {tags.get('data')}. "
                f"Take one with `prac.Ticket.load('models:/{name}@best')`; aliases: `recommended` "
                "(that of the newest report's headline), `best` (highest validation accuracy), "
                "`sparsest-matching` (sparsest that matches vanilla, by three seeds or more), "
                "`smallest` (fewest weights)."
            ),
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return False
    return True


def ticket_locations(store: Connection, name: str) -> dict[str, str]:
    """Stage key to `models:/NAME/VERSION` of all versions of a registered model."""
    return {
        version.tags["prac.key"]: f"models:/{name}/{version.version}"
        for version in _versions(store, name)
        if "prac.key" in version.tags
    }


def _versions(store: Connection, name: str) -> list[Any]:
    with store.reached():
        return list(store.client.search_model_versions(f"name = '{name}'"))


def note_seeds(store: Connection, location: str, known: Mapping[str, Sequence[float]]) -> None:
    """Tag a version with what several judgements of its ticket found.

    location: `models:/NAME/VERSION`. known: by tag (`test_accuracy`, `validation_accuracy`,
    `dense_test_accuracy`) the accuracies, one for each seed; `TAG_mean` is set, and the deviation
    of the ticket's own test accuracies. The tags without `_mean` stay those of the trained network
    that the version carries.
    """
    name, _, number = location.removeprefix("models:/").partition("/")
    tags = {f"{tag}_mean": f"{statistics.fmean(v):.6f}" for tag, v in known.items() if v}
    tests = known["test_accuracy"]
    tags |= {
        "test_accuracy_std": f"{statistics.stdev(tests):.6f}",
        "judging_seeds": str(len(tests)),
    }
    with store.reached():
        for tag, value in tags.items():
            store.client.set_model_version_tag(name, number, tag, value)


def show_charts(store: Connection) -> None:
    """Let the tickets' page have charts for each registered model with judged tickets."""
    with store.reached():
        versions = pages(store.client.search_model_versions, "tag.`prac.key` LIKE '%'")
        judged: dict[str, set[str]] = {}
        # What somebody else wrote may lack anything, and must not cost a finished run its report.
        for version in sorted(versions, key=lambda v: v.creation_timestamp or 0, reverse=True):
            if version.tags.get("test_accuracy"):
                sparsity = version.tags.get("sparsity") or ""
                judged.setdefault(version.name, set()).add(sparsity[:5])
        experiment = store.client.get_experiment(store.experiment(TICKETS))
        view = ticket_view({name: len(found) > 1 for name, found in judged.items()})
        for tag, value in view.items():
            if experiment.tags.get(tag) != value:
                store.client.set_experiment_tag(experiment.experiment_id, tag, value)


def update_aliases(
    store: Connection, name: str, chosen: Mapping[str, str | None] | None = None
) -> dict[str, str]:
    """Point the aliases of a registered model at the versions that deserve them now.

    chosen: aliases that a report decides, to `models:/NAME/VERSION`, or None where no ticket has
    earned it. `best` has the highest validation accuracy of its judgements, their mean where there
    were several: never chosen on the test split. `smallest` has the fewest weights. Ties go to the
    sparser, then to the newer. Versions of other data than the model's take none. Returns alias to
    version.
    """
    versions = _versions(store, name)
    with store.reached():
        if owner := _owner(store, name, versions):
            versions = [v for v in versions if _data_of(store, v) == owner]
    own = {str(version.version) for version in versions}

    def number(version: Any, tag: str) -> float:
        return float(version.tags.get(f"{tag}_mean", version.tags.get(tag, "0")))

    versions = [v for v in versions if all(map(_is_share, _numbers_of(v)))]

    def merit(version: Any) -> tuple[float, float, int]:
        """The higher, the more accurate; of equal ones the sparser, then the newer."""
        accuracy = number(version, "validation_accuracy")
        return accuracy, number(version, "sparsity"), int(version.version)

    def thrift(version: Any) -> tuple[float, float, int]:
        """The higher, the fewer weights; of equal ones the more accurate, then the newer."""
        accuracy, sparsity, newest = merit(version)
        return sparsity, accuracy, newest

    aliases: dict[str, str | None] = {
        alias: None if where is None else where.rpartition("/")[2]
        for alias, where in (chosen or {}).items()
        if where is None or where in {f"models:/{name}/{mine}" for mine in own}
    }
    judged = [v for v in versions if "validation_accuracy" in v.tags]
    if judged:
        aliases["best"] = str(max(judged, key=merit).version)
    if versions:
        aliases["smallest"] = str(max(versions, key=thrift).version)
    with store.reached():
        for alias, version in aliases.items():
            if version is not None:
                store.client.set_registered_model_alias(name, alias, version)
            elif own:
                store.client.delete_registered_model_alias(name, alias)
    return {alias: version for alias, version in aliases.items() if version is not None}


def _numbers_of(version: Any) -> list[str]:
    """What its tags say by which aliases are chosen."""
    tags = ("validation_accuracy_mean", "validation_accuracy", "sparsity")
    return [version.tags[tag] for tag in tags if tag in version.tags]


def _is_share(text: object) -> bool:
    """Whether it is one; whoever writes to the store may have written anything."""
    try:
        return 0 <= float(str(text)) <= 1
    except ValueError:
        return False


def download_ticket(where: str, store: Connection | None = None) -> str:
    """The local folder of `models:/NAME/VERSION` or `models:/NAME@alias`. Raises TicketError.

    What a server sends is in a folder that goes with this process.
    store: None is the one that the environment or the working folder names.
    """
    from mlflow.exceptions import MlflowException

    match = re.fullmatch(r"models:/([^/@]+)(?:/(\d+)|@([A-Za-z0-9_-]+))", where)
    if match is None:
        raise TicketError(f"{where} is no ticket's name; allowed: models:/NAME/VERSION, NAME@alias")
    name, number, alias = match.groups()
    uri = default_tracking_uri() if store is None else store.tracking_uri
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file():
        # MLflow would make an empty database there and find nothing in it.
        raise TicketError(f"{where}: no MLflow store at {uri}; set MLFLOW_TRACKING_URI to yours")
    client = (store or Connection(uri)).client
    try:
        version = (
            client.get_model_version_by_alias(name, alias)
            if alias
            else client.get_model_version(name, number)
        )
        source = str(client.get_model_version_download_uri(name, version.version))
        local = local_folder(source)
        if local is not None and local.is_dir():
            return str(local)
        scratch = scratch_folder()
        _BROUGHT.append(scratch)
        return str(client.download_artifacts(str(version.run_id), "ticket", scratch.name))
    except MlflowException as error:
        raise TicketError(f"{where} can't be fetched ({first_line(error)})") from error
