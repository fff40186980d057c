"""`prac pipelines`: what was begun in a store, what it needs, and letting it go."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prac.app.console import say
from prac.cli.stored import add_command, add_store_options, print_lines, print_rows, say_refused
from prac.errors import ConfigError

# Slow imports stand in functions: see `prac.cli`.
if TYPE_CHECKING:
    import argparse

    from prac.lottery.kept import Kept, Pipeline


def add(commands: Any) -> None:
    pipelines = commands.add_parser(
        "pipelines", help="list, show and forget the pipelines that a store keeps"
    )
    actions = pipelines.add_subparsers(dest="pipeline_command", required=True, metavar="COMMAND")
    listed = add_command(
        actions,
        "list",
        help="the pipelines and sweeps that were begun here, the newest first",
        examples=["prac pipelines list", "prac pipelines list --forgotten"],
        action=list_command,
    )
    listed.add_argument("--forgotten", action="store_true", help="those that were forgotten, too")
    add_store_options(listed)
    show = add_command(
        actions,
        "show",
        help="what a pipeline needs, what of it is finished, and what it alone needs",
        examples=["prac pipelines show 1a2b3c4d"],
        action=show_command,
    )
    show.add_argument("key", metavar="KEY", help="the start of its key, as the list shows it")
    add_store_options(show)
    forget = add_command(
        actions,
        "forget",
        help="let go what a pipeline needs, but for its tickets; `prac gc` then finds what no "
        "other needs",
        examples=["prac pipelines forget 1a2b3c4d", "prac gc", "prac gc --delete"],
        action=forget_command,
    )
    forget.add_argument("key", metavar="KEY", help="the start of its key, as the list shows it")
    forget.add_argument("--tickets", action="store_true", help="let its tickets go as well")
    add_store_options(forget)


class _Looked:
    """A store's pipelines with what is finished of each, and its bytes."""

    def __init__(self, kept: Kept) -> None:
        self.kept = kept
        self.refused: list[str] = []
        self.pipelines = kept.pipelines(self.refused)
        self._there: dict[str, dict[str, Path | None]] = {}
        self._sizes: dict[Path, int] = {}

    def there(self, pipeline: Pipeline) -> dict[str, Path | None]:
        """Of the stages that it needs."""
        if pipeline.key not in self._there:
            self._there[pipeline.key] = self.kept.there(pipeline)
        return self._there[pipeline.key]

    def size(self, pipeline: Pipeline, keys: Iterable[str]) -> int | None:
        """Bytes of the files of these stages; None where another machine has some."""
        there, total = self.there(pipeline), 0
        for key in keys:
            folder = there.get(key)
            if folder is None and key in there:
                return None
            if folder is not None:
                if folder not in self._sizes:
                    files = (file for file in folder.rglob("*") if file.is_file())
                    self._sizes[folder] = sum(file.stat().st_size for file in files)
                total += self._sizes[folder]
        return total

    def alone(self, pipeline: Pipeline) -> set[str]:
        """What no other that is kept needs."""
        others = (p.needs for p in self.pipelines if p.key != pipeline.key and not p.forgotten)
        return set(pipeline.needs).difference(*others)

    def facts(self, pipeline: Pipeline) -> dict[str, Any]:
        there = self.there(pipeline)
        return {
            "key": pipeline.key,
            "title": pipeline.title,
            "data": pipeline.data_name,
            "began": pipeline.began,
            "state": self.state(pipeline),
            "finished": len(there),
            "stages": len(pipeline.needs),
            "bytes": self.size(pipeline, there),
        }

    def state(self, pipeline: Pipeline) -> str:
        if pipeline.forgotten:
            return "forgotten" + (", its tickets too" if pipeline.forgotten == "tickets" else "")
        if not pipeline.needs:
            return "of an earlier version: keeps all of its data"
        whole = pipeline.needs.keys() <= self.there(pipeline).keys()
        return "finished" if whole else "not finished"


def _stores(home: str | None) -> Iterator[Kept]:
    """MLflow's and the folder of local runs, where they are. Raises ConfigError without any."""
    from prac.cli.stored import open_store, stages_of
    from prac.lottery.kept import FolderKept

    folder = stages_of(home)
    try:
        store = open_store(home)
    except ConfigError:
        if not folder.is_dir():
            raise
    else:
        from prac.tracking.kept import MlflowKept

        yield MlflowKept(store)
    if folder.is_dir():
        yield FolderKept(folder)


def list_command(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Print the pipelines of the store."""
    stores = [_Looked(kept) for kept in _stores(arguments.home)]
    facts = [
        looked.facts(pipeline)
        for looked in stores
        for pipeline in looked.pipelines
        if arguments.forgotten or not pipeline.forgotten
    ]
    refused = say_refused(line for looked in stores for line in looked.refused)
    if arguments.json:
        return {"pipelines": facts, "refused": refused}
    from prac.lottery.footprint import shown_bytes

    rows = [
        [
            f["key"][:8],
            f["title"],
            f["data"],
            _when(f["began"]),
            f"{f['finished']} of {f['stages']}",
            shown_bytes(f["bytes"]),
            f["state"],
        ]
        for f in facts
    ]
    columns = ("pipeline", "what", "data", "begun", "stages", "size", "state")
    print_rows("pipelines", columns, rows)
    return None


def _find(home: str | None, start: str) -> list[tuple[_Looked, Pipeline]]:
    """The pipeline, in each store that has it. Raises ConfigError."""
    from prac.lottery.kept import find_pipeline

    looked = [_Looked(kept) for kept in _stores(home)]
    say_refused(line for one in looked for line in one.refused)
    found = find_pipeline((p for one in looked for p in one.pipelines), start)
    return [(one, p) for one in looked for p in one.pipelines if p.key == found.key]


def show_command(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Print what a pipeline needs."""
    looked, pipeline = _find(arguments.home, arguments.key)[0]
    there, alone = looked.there(pipeline), looked.alone(pipeline)
    kinds: list[dict[str, Any]] = []
    for kind in dict.fromkeys(name.partition(":")[0] for name in pipeline.needs.values()):
        keys = [k for k, name in pipeline.needs.items() if name.partition(":")[0] == kind]
        kinds.append(
            {
                "kind": kind,
                "stages": len(keys),
                "finished": sum(key in there for key in keys),
                "bytes": looked.size(pipeline, keys),
                "bytes_alone": looked.size(pipeline, [k for k in keys if k in alone]),
            }
        )
    facts = {**looked.facts(pipeline), "bytes_alone": looked.size(pipeline, alone)}
    if arguments.json:
        return {**facts, "kinds": kinds}
    from prac.lottery.footprint import shown_bytes

    shown = {**facts, "began": _when(pipeline.began)}
    shown |= {name: shown_bytes(facts[name]) for name in ("bytes", "bytes_alone")}
    print_lines((name.replace("_", " "), value) for name, value in shown.items())
    rows = [
        [
            k["kind"],
            f"{k['finished']} of {k['stages']}",
            shown_bytes(k["bytes"]),
            shown_bytes(k["bytes_alone"]),
        ]
        for k in kinds
    ]
    print_rows("stages", ("kind", "finished", "size", "needed by no other"), rows)
    return None


def forget_command(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """Let a pipeline go."""
    from prac.lottery.footprint import shown_bytes
    from prac.lottery.kept import lasts

    count, sizes = 0, list[int | None]()
    for looked, pipeline in _find(arguments.home, arguments.key):
        looked.kept.forget(pipeline.key, "tickets" if arguments.tickets else "stages")
        alone = looked.alone(pipeline) & looked.there(pipeline).keys()
        if not arguments.tickets:
            alone = {key for key in alone if lasts(pipeline.needs[key]) == "pipeline"}
        count, sizes = count + len(alone), [*sizes, looked.size(pipeline, alone)]
    size = None if None in sizes else sum(each or 0 for each in sizes)
    if arguments.json:
        return {"forgotten": pipeline.key, "stages_let_go": count, "bytes_let_go": size}
    say(f"{pipeline.title} ({pipeline.key[:8]}) is forgotten; nothing is deleted yet")
    say(f"{count} stages, {shown_bytes(size)}, are needed by no other: `prac gc` lists them")
    return None


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
