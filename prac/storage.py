"""A folder, local or by URI, whose files appear whole or not at all."""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from prac.errors import ConfigError, StoreError


class Folder:
    """Files in one folder of a pyarrow file system: a local path, `s3://`, `gs://`, `file://`.

    Writing is atomic: a local file is written beside its place, flushed and moved; an object
    store's single put is atomic by itself. Names that start with a dot are never listed.
    """

    def __init__(self, where: str | Path) -> None:
        self.where = str(where)
        try:
            if "\0" in self.where:
                raise ValueError("a path has no null byte")
            if "://" in self.where:
                self._fs, self._path = pafs.FileSystem.from_uri(self.where)
            else:
                if re.match("[a-z][a-z0-9+]+:/", self.where):
                    raise ValueError("an address has two slashes: s3://BUCKET")
                place = Path(self.where).expanduser()
                self._fs, self._path = pafs.LocalFileSystem(), str(place.absolute())
        # RuntimeError: of a ~user that isn't known.
        except (pa.ArrowException, OSError, ValueError, RuntimeError) as error:
            raise ConfigError(
                f"storage {self.where!r} can't be opened ({error}); allowed: a folder, s3://, gs://"
            ) from error
        if "://" in self.where and not self._path.strip("/"):
            raise ConfigError(
                f"storage {self.where!r} names no folder or bucket; allowed: a folder, "
                "s3://BUCKET/FOLDER, gs://BUCKET/FOLDER"
            )
        self._local = isinstance(self._fs, pafs.LocalFileSystem)

    @property
    def is_local(self) -> bool:
        """Whether only this machine (or a file system mounted here) has the folder."""
        return self._local

    @property
    def local_path(self) -> Path:
        """The path of a local folder."""
        return Path(self._path)

    def make(self) -> None:
        """Make a local folder, so that one that can't be is known before anything is paid for.
        Raises ConfigError."""
        try:
            if self._local:
                self.local_path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"storage {self.where!r} can't be made ({error.strerror}); allowed: a folder that "
                "you may write to"
            ) from error

    def child(self, *names: str) -> Folder:
        """A folder inside this one."""
        return Folder(self._inside("/".join(names)))

    def describe(self, name: str = "") -> str:
        """The folder, or a file in it, as a user would write it."""
        return self._inside(name)

    def _inside(self, name: str) -> str:
        # `s3://bucket/folder?region=eu-west-1`: the query stays behind the path.
        path, query = self.where, ""
        if "://" in path:
            path, mark, asked = path.partition("?")
            query = mark + asked
        return f"{path.rstrip('/')}/{name}".rstrip("/") + query

    def names(self) -> list[str]:
        """The files in this folder, sorted; empty where there is no folder."""
        selector = pafs.FileSelector(self._path, allow_not_found=True)
        infos = self._fs.get_file_info(selector)
        names = (i.base_name for i in infos if i.type == pafs.FileType.File)
        return sorted(n for n in names if not n.startswith("."))

    def folders(self) -> list[str]:
        """The folders in this folder, sorted; empty where there is no folder."""
        selector = pafs.FileSelector(self._path, allow_not_found=True)
        infos = self._fs.get_file_info(selector)
        return sorted(i.base_name for i in infos if i.type == pafs.FileType.Directory)

    def extent(self) -> tuple[int, float]:
        """Bytes of all files in this folder and below, and when the newest of them was written.

        The time is in seconds since the epoch; 0 where there is no file.
        """
        selector = pafs.FileSelector(self._path, allow_not_found=True, recursive=True)
        infos = [i for i in self._fs.get_file_info(selector) if i.type == pafs.FileType.File]
        newest = max((i.mtime_ns or 0 for i in infos), default=0)
        return sum(i.size or 0 for i in infos), newest / 1e9

    def exists(self, name: str) -> bool:
        """Whether the folder holds this file."""
        info = self._fs.get_file_info(f"{self._path}/{name}")
        return bool(info.type == pafs.FileType.File)

    def read(self, name: str) -> pa.Buffer:
        """A file's bytes. Raises OSError."""
        with self._fs.open_input_file(f"{self._path}/{name}") as file:
            return file.read_buffer()

    def write(self, name: str, data: pa.Buffer | bytes) -> None:
        """Put a file in place, whole. Raises StoreError, with nothing half-written in its place."""
        target = f"{self._path}/{name}"
        try:
            if not self._local:
                # The bytes are complete before the stream opens: closing it is one put.
                with self._fs.open_output_stream(target) as stream:
                    stream.write(data)
                return
            self._fs.create_dir(self._path, recursive=True)
            # A name of its own: two pipelines may write the same file at once, both right.
            temporary = Path(self._path) / f".{name}.{uuid.uuid4().hex[:8]}.tmp"
            try:
                with open(temporary, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as error:
            raise StoreError(f"{self.describe(name)} can't be written ({error})") from error

    def remove(self, name: str) -> None:
        """Remove one file; nothing happens where there is none."""
        if self.exists(name):
            self._fs.delete_file(f"{self._path}/{name}")

    def delete(self) -> None:
        """Remove the folder and all in it; nothing happens where there is none."""
        if self._fs.get_file_info(self._path).type == pafs.FileType.Directory:
            self._fs.delete_dir(self._path)
