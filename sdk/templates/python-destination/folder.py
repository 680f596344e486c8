"""Objects as files below one folder, in plain Python: nothing here knows of WebAssembly, so `python3 -m unittest` tests all of it.

An object appears under its name only whole. Until then its bytes lie in a partial file, which one rename turns into the object.
"""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice

PARTIAL = ".cofre-partial"
"""Folder of unfinished uploads; no object lies in it."""

PAGE = 1_000
"""Objects of one page of a listing."""

DEEPEST = 64
"""Folders inside folders; cofre itself needs two."""

PIECE = 512 << 10
"""Bytes of a body that are held at once, whatever its size. The host hands it over in blocks of as many."""


class Refused(Exception):
    """Why a verb failed: `kind` is a name of the contract's `error-kind`, which is what the host acts on; the text is for a person."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


KINDS = {
    errno.ENOENT: "not-found",
    errno.ENOTDIR: "not-found",
    errno.EACCES: "access-denied",
    errno.EPERM: "access-denied",
    errno.EROFS: "access-denied",
    errno.EEXIST: "already-exists",
    errno.EISDIR: "already-exists",
    errno.ENOSPC: "out-of-space",
    errno.EDQUOT: "out-of-space",
    errno.EFBIG: "out-of-space",
    errno.ETIMEDOUT: "timeout",
    errno.ENOTSUP: "unsupported",
    errno.ENAMETOOLONG: "invalid-config",
    # A name of the disk that is no UTF-8 cannot cross into a component.
    errno.EILSEQ: "unsupported",
}


def refused(doing: str, error: OSError) -> Refused:
    """What the system said, in the contract's terms."""
    return Refused(KINDS.get(error.errno or 0, "other"), f"{doing}: {error.strerror or error}")


def check(key: str) -> None:
    """Refuses a key that is no relative path of plain names: it could leave the folder, or mean two things."""
    parts = key.split("/")
    if not key:
        wrong = "it is empty"
    elif "\0" in key:
        wrong = "it has a NUL"
    elif "" in parts:
        wrong = "it has an empty part"
    elif "." in parts or ".." in parts:
        wrong = "it has a part `.` or `..`"
    elif parts[0] == PARTIAL:
        wrong = "its first part is the folder of unfinished uploads"
    else:
        return
    raise Refused("invalid-config", f"{key!r} cannot be a file's path: {wrong}")


@dataclass(frozen=True)
class Stored:
    """One finished object."""

    key: str
    size: int
    modified_unix_ms: int


@dataclass(frozen=True)
class Folder:
    """A folder of objects at `root`. With `fsync`, what was reported as stored outlives a power cut."""

    root: str
    fsync: bool = True

    def inside(self, path: str) -> "Folder":
        """The folder `path` in this one; the empty path is this one."""
        if not path:
            return self
        check(path)
        return replace(self, root=self.path(path))

    def path(self, key: str) -> str:
        """Where the object `key` lies; the empty key is the folder itself."""
        return f"{self.root}/{key}" if key else self.root

    def stat(self, key: str) -> Stored:
        """Describes one object. A folder is none, nor is a link: its target could be anywhere."""
        check(key)
        try:
            found = os.lstat(self.path(key))
        except OSError as error:
            raise refused(f"cannot look at {key}", error) from error
        if not stat.S_ISREG(found.st_mode):
            raise Refused("not-found", f"{key} is no file")
        return Stored(key, found.st_size, found.st_mtime_ns // 1_000_000)

    def span(self, key: str, offset: int, length: int | None) -> int:
        """How many bytes a range of an object has: `length`, or all to its end. One that goes beyond the object is refused, since a range
        that is cut to fit would hide an object that was cut."""
        size = self.stat(key).size
        end = size if length is None else offset + length
        if offset > size or end > size:
            raise Refused("invalid-config", f"cannot read {key} from {offset} to {end}: it has {size} bytes")
        return end - offset

    def page(self, prefix: str, cursor: str | None) -> tuple[list[Stored], str | None]:
        """One page of objects in the order of their keys; the cursor is the last key of the page before."""
        found = list(islice(self._walk("", prefix, cursor or "", 0), PAGE + 1))
        page = found[:PAGE]
        return page, page[-1].key if len(found) > PAGE else None

    def _walk(self, folder: str, prefix: str, after: str, depth: int) -> Iterator[Stored]:
        """The objects below `folder`. A folder sorts as its name with `/` behind it, which gives exactly the order of whole keys;
        one that lies before the cursor or outside the prefix is never entered."""
        if depth > DEEPEST:
            raise Refused("unsupported", f"cannot list {folder}: more than {DEEPEST} folders inside each other")
        for name in self._names(folder):
            key = f"{folder}{name}"
            if key.endswith("/"):
                if (key.startswith(prefix) or prefix.startswith(key)) and (key > after or after.startswith(key)):
                    yield from self._walk(key, prefix, after, depth + 1)
            elif key.startswith(prefix) and key > after:
                try:
                    yield self.stat(key)
                except Refused as gone:
                    # Removed since the folder was read.
                    if gone.kind != "not-found":
                        raise

    def _names(self, folder: str) -> list[str]:
        """Files and folders in `folder` (empty, or with `/` at its end); a folder's name ends in `/`. Links and devices are left out."""
        names = []
        try:
            with os.scandir(self.path(folder)) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        names.append(f"{entry.name}/")
                    elif entry.is_file(follow_symlinks=False):
                        names.append(entry.name)
        except FileNotFoundError:
            # Not made yet, or removed since its parent was read.
            return []
        except OSError as error:
            raise refused(f"cannot list {folder or '/'}", error) from error
        if not folder:
            names = [name for name in names if name != f"{PARTIAL}/"]
        return sorted(names)

    def delete(self, key: str) -> None:
        """Removes one object, and the folders that it leaves empty. Nothing there is success."""
        try:
            self.stat(key)
            os.unlink(self.path(key))
        except Refused as error:
            if error.kind != "not-found":
                raise
            return
        except FileNotFoundError:
            return
        except OSError as error:
            raise refused(f"cannot remove {key}", error) from error
        parents = list(above(key))
        try:
            self.sync_folder(parents[0])
            for parent in parents[:-1]:
                os.rmdir(self.path(parent))
        except OSError:
            # It is removed either way. The first folder that is not empty, or that is gone, ends the climb.
            pass

    def sync_folder(self, key: str) -> None:
        """Makes the names in a folder durable."""
        if not self.fsync:
            return
        folder = os.open(self.path(key), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def above(key: str) -> Iterator[str]:
    """The folders that `key` lies in, from the nearest to the empty one at the top."""
    while key:
        key = key.rpartition("/")[0]
        yield key


@dataclass
class Partial:
    """An unfinished object: a file that grows at its end, and one rename.

    `offset` is what was last made durable. The token carries it, because after a power cut a file may be longer than what of it is true.
    """

    folder: Folder
    key: str
    offset: int = 0
    ended: bool = False

    @staticmethod
    def name(key: str) -> str:
        """The file's name: a digest, so that any key fits, and a new session of the same key replaces the old one."""
        return hashlib.sha256(key.encode()).hexdigest()

    @classmethod
    def begin(cls, folder: Folder, key: str) -> "Partial":
        """Opens a session at offset 0."""
        check(key)
        partial = cls(folder, key)
        try:
            os.makedirs(folder.path(PARTIAL), exist_ok=True)
            os.close(os.open(partial._path(), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o666))
        except OSError as error:
            raise refused(f"cannot begin {key}", error) from error
        return partial

    @classmethod
    def resume(cls, folder: Folder, key: str, token: str) -> "Partial":
        """Opens an earlier session from its token, in another instance and perhaps after a restart."""
        check(key)
        name, _, offset = token.partition(":")
        if name != cls.name(key) or not (offset.isascii() and offset.isdigit()):
            raise Refused("session-lost", f"cannot resume {key}: its token is of another key, or not of this plug-in")
        partial = cls(folder, key, int(offset))
        try:
            there = os.lstat(partial._path()).st_size
        except FileNotFoundError:
            raise Refused("session-lost", f"cannot resume {key}: its partial file is gone") from None
        except OSError as error:
            raise refused(f"cannot resume {key}", error) from error
        if there < partial.offset:
            raise Refused("session-lost", f"cannot resume {key}: its partial file is shorter than what was made durable")
        return partial

    @property
    def token(self) -> str:
        """Names the session for `resume`."""
        return f"{self.name(self.key)}:{self.offset}"

    def write(self, source: Callable[[int], bytes], length: int) -> int:
        """Takes exactly `length` bytes from `source`, which gives at most as many as it is asked for, makes them durable, and
        returns the new offset. Where that fails the offset stays, and what was written behind it does not count."""
        doing = f"cannot write {self.key} at {self.offset}"
        file = self._open(doing)
        try:
            at, end = self.offset, self.offset + length
            while at < end:
                piece = memoryview(source(min(PIECE, end - at)))
                if not piece:
                    raise Refused("integrity", f"{doing}: the body ended after {at - self.offset} of {length} bytes")
                while piece:
                    written = os.pwrite(file, piece, at)
                    piece, at = piece[written:], at + written
            if self.folder.fsync:
                os.fsync(file)
        except OSError as error:
            raise refused(doing, error) from error
        finally:
            os.close(file)
        self.offset = end
        return end

    def finish(self) -> Stored:
        """The only commit."""
        doing = f"cannot finish {self.key}"
        file = self._open(doing)
        try:
            # A write that failed may have left bytes beyond.
            os.ftruncate(file, self.offset)
            if self.folder.fsync:
                os.fsync(file)
        except OSError as error:
            raise refused(doing, error) from error
        finally:
            os.close(file)
        try:
            self._rename()
            for parent in above(self.key):
                self.folder.sync_folder(parent)
        except OSError as error:
            raise refused(doing, error) from error
        stored = self.folder.stat(self.key)
        if stored.size != self.offset:
            raise Refused("integrity", f"{doing}: the file has {stored.size} bytes instead of {self.offset}")
        self.ended = True
        return stored

    def _rename(self) -> None:
        for last in (False, True):
            # Not `makedirs`, which looks at what is above the root: in a sandbox there is nothing.
            for parent in reversed(list(above(self.key))[:-1]):
                with suppress(FileExistsError):
                    os.mkdir(self.folder.path(parent))
            try:
                return os.replace(self._path(), self.folder.path(self.key))
            except FileNotFoundError:
                # Removing the last object of the folder may just have taken the folder with it.
                if last:
                    raise

    def abort(self) -> None:
        """Forgets the session and what it stored. Again is success."""
        if self.ended:
            return
        try:
            os.unlink(self._path())
        except FileNotFoundError:
            pass
        except OSError as error:
            raise refused(f"cannot remove what was stored of {self.key}", error) from error
        self.ended = True

    def _path(self) -> str:
        return self.folder.path(f"{PARTIAL}/{self.name(self.key)}")

    def _open(self, doing: str) -> int:
        if self.ended:
            raise Refused("session-lost", f"{doing}: the upload has ended")
        try:
            return os.open(self._path(), os.O_WRONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise Refused("session-lost", f"{doing}: its partial file is gone") from None
        except OSError as error:
            raise refused(doing, error) from error
