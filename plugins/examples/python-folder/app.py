"""A destination of cofre in Python: the classes that componentize-py looks for, and nothing but translation.

What is stored, and how, is in `folder.py`. `wit_world` and `componentize_py_types` are bindings that `componentize-py` makes from the
contract (`wit/`); it makes them by itself for a build, and `componentize-py ... bindings` writes them down for an editor.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import destination, plugin
from wit_world.imports import cofre_plugin_types as types
from wit_world.imports import host, preopens, streams
from wit_world.imports.wasi_filesystem_types import DescriptorFlags, ErrorCode, OpenFlags, PathFlags

from folder import PIECE, Folder, Partial, Refused, Stored

NAME = "python-folder"
VERSION = "0.1.0"
SUMMARY = "Keeps objects as files in one directory of this machine, in Python."

GRANTED = "/data"
"""Where the host shows the directory that was granted; Python's own `os` reaches it, and nothing else."""

PARALLEL_UPLOADS = 4
"""Uploads that one disk takes well at once."""

SETTINGS = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Settings",
    "description": "Settings of one instance.",
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "path": {
            "description": "Folder inside the granted directory, with `/` between parts; empty for the directory itself."
            " It is made where it is missing.",
            "type": "string",
            "default": "",
        },
        "fsync": {
            "description": "Whether every write waits until the disk has it. Off, a power cut can cost objects that were reported"
            " as stored.",
            "type": "boolean",
            "default": True,
        },
    },
}

Page = tuple[list[types.Object], str | None]

RETRYABLE = {types.ErrorKind.RATE_LIMITED, types.ErrorKind.UNAVAILABLE, types.ErrorKind.TIMEOUT, types.ErrorKind.INTEGRITY}
"""Kinds that usually pass. A plug-in itself tries once: the host retries, and decides from this alone."""


@contextmanager
def reported() -> Iterator[None]:
    """Turns what `folder.py` refuses into the contract's error. Any other exception is a bug: it ends the instance, and the host says so."""
    try:
        yield
    except Refused as why:
        kind = types.ErrorKind[why.kind.upper().replace("-", "_")]
        raise Err(types.Error(kind, kind in RETRYABLE, None, why.message, [])) from None


def opened() -> Folder:
    """The folder that the settings name. The host has checked them against `SETTINGS` already."""
    settings = json.loads(host.settings())
    if not os.path.isdir(GRANTED):
        raise Refused("invalid-config", "no directory was granted to this destination")
    return Folder(GRANTED, settings.get("fsync", True)).inside(settings.get("path", ""))


def described(stored: Stored) -> types.Object:
    """A file system knows no checksum of a whole file."""
    return types.Object(stored.key, stored.size, stored.modified_unix_ms, None)


def failed(doing: str, error: Err[streams.StreamError_LastOperationFailed]) -> Refused:
    """What broke a stream of the host."""
    return Refused("other", f"{doing}: {error.value.value.to_debug_string()}")


def source(body: streams.InputStream) -> Callable[[int], bytes]:
    """The next bytes of a body, up to as many; none once it has ended."""

    def take(most: int) -> bytes:
        try:
            return body.blocking_read(most)
        except Err as error:
            if isinstance(error.value, streams.StreamError_Closed):
                return b""
            raise failed("cannot read the body", error) from None

    return take


def send(path: str, offset: int, length: int, sink: streams.OutputStream) -> None:
    """Streams a part of a file into `sink` inside the host, without a byte in Python.

    For a reason: what componentize-py 0.25.1 copies for an import that takes bytes (`sink.write`) it never frees, and one read may be a
    whole object. Bytes that come *from* an import are freed, so that uploads may go through Python.
    """
    doing = f"cannot read {path}"
    try:
        room = next(room for room, name in preopens.get_directories() if name == GRANTED)
        within = os.path.relpath(path, GRANTED)
        with room.open_at(PathFlags(0), within, OpenFlags(0), DescriptorFlags.READ) as file, file.read_via_stream(offset) as body:
            left = length
            while left:
                # Waits for either side; it gives less than was asked for, and an error at the end of the file.
                left -= sink.blocking_splice(body, min(left, PIECE))
        sink.blocking_flush()
    except Err as error:
        if isinstance(error.value, ErrorCode):
            # It was looked at just before: somebody removes or locks it at the same time.
            raise Refused("not-found" if error.value is ErrorCode.NO_ENTRY else "other", f"{doing}: {error.value.name}") from None
        if isinstance(error.value, streams.StreamError_Closed):
            raise Refused("integrity", f"{doing}: the file ends {left} bytes too early, or the other side closed the stream") from None
        raise failed(doing, error) from None


class Plugin(exports.Plugin):
    """Self-description. It is read with nothing granted, so it must reach for nothing, not even the settings."""

    def describe(self) -> plugin.Description:
        return plugin.Description(
            name=NAME,
            version=VERSION,
            kind=plugin.Kind.DESTINATION,
            summary=SUMMARY,
            settings_schema=json.dumps(SETTINGS),
            network=[],
            secrets=[],
            directory=True,
        )


class Destination(exports.Destination):
    """The verbs on finished objects. Each call has an instance of its own: nothing survives in memory."""

    def probe(self) -> destination.Limits:
        content = b"cofre was here\n"
        key = f"cofre-probe-{os.urandom(8).hex()}"
        with reported():
            folder = opened()
            partial = Partial.begin(folder, key)
            try:
                partial.write(lambda most: content[:most], len(content))
                partial.finish()
            except Refused:
                # What went wrong is the answer; that the partial file may stay is not.
                with suppress(Refused):
                    partial.abort()
                raise
            try:
                folder.delete(key)
            except Refused as why:
                # The administrator may keep a directory from which nothing can be removed.
                if why.kind != "access-denied":
                    raise
                host.log(host.Level.WARN, f"the probe file {key} stays: {why.message}")
        return destination.Limits(part_size=None, max_object_size=None, parallel_uploads=PARALLEL_UPLOADS, free_bytes=None)

    def read(self, key: str, offset: int, length: int | None, sink: streams.OutputStream) -> int:
        with reported():
            folder = opened()
            count = folder.span(key, offset, length)
            send(folder.path(key), offset, count, sink)
            return count

    def stat(self, key: str) -> types.Object:
        with reported():
            return described(opened().stat(key))

    def list(self, prefix: str, cursor: str | None) -> Page:
        with reported():
            page, following = opened().page(prefix, cursor)
            return [described(stored) for stored in page], following

    def delete(self, key: str) -> None:
        with reported():
            opened().delete(key)

    def protect(self, key: str, until_unix_ms: int) -> None:
        with reported():
            raise Refused("unsupported", f"cannot protect {key}: a directory keeps nobody from changing a file")

    def share(self, key: str, lifetime_seconds: int) -> str:
        with reported():
            raise Refused("unsupported", f"cannot share {key}: a directory has no address")


class Upload(destination.Upload):
    """One upload session. `destination.py` is where componentize-py finds it."""

    def __init__(self, partial: Partial) -> None:
        self.partial = partial

    @classmethod
    def begin(cls, key: str, size: int | None) -> "Upload":
        with reported():
            return cls(Partial.begin(opened(), key))

    @classmethod
    def resume(cls, key: str, token: str) -> "Upload":
        with reported():
            return cls(Partial.resume(opened(), key, token))

    def token(self) -> str:
        return self.partial.token

    def offset(self) -> int:
        return self.partial.offset

    def write(self, body: streams.InputStream, length: int) -> int:
        with reported():
            return self.partial.write(source(body), length)

    def finish(self) -> types.Object:
        with reported():
            return described(self.partial.finish())

    def abort(self) -> None:
        with reported():
            self.partial.abort()
