"""The folder in plain Python: `python3 -m unittest discover tests`. The contract as a whole is asked by `cofre plugin test`."""

import os
import stat
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import folder
from folder import PAGE, PARTIAL, Folder, Partial, Refused


def source(content: bytes):
    """A body that gives its bytes in pieces, then ends."""
    left = memoryview(content)

    def take(most: int) -> bytes:
        nonlocal left
        piece, left = left[: min(most, 3)], left[min(most, 3) :]
        return bytes(piece)

    return take


class Case(unittest.TestCase):
    def setUp(self) -> None:
        room = tempfile.TemporaryDirectory()
        self.addCleanup(room.cleanup)
        self.root = Path(room.name)
        self.folder = Folder(room.name)

    def put(self, key: str, content: bytes) -> None:
        partial = Partial.begin(self.folder, key)
        partial.write(source(content), len(content))
        self.assertEqual(partial.finish().size, len(content))

    def get(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def refuses(self, kind: str, call, *arguments) -> None:
        with self.assertRaises(Refused) as caught:
            call(*arguments)
        self.assertEqual(caught.exception.kind, kind, caught.exception.message)

    def keys(self, prefix: str = "") -> list[str]:
        found, cursor = [], None
        while True:
            page, cursor = self.folder.page(prefix, cursor)
            found += [stored.key for stored in page]
            if cursor is None:
                return found


class Keys(Case):
    def test_a_key_that_could_leave_the_folder_is_refused(self) -> None:
        for key in ["", "/etc/passwd", "a//b", "a/", "../x", "a/../b", "a/.", "a\0b", f"{PARTIAL}/x", ".."]:
            self.refuses("invalid-config", self.folder.stat, key)
            self.refuses("invalid-config", Partial.begin, self.folder, key)
        for key in ["a", "b/c.tar.gz.enc", "..a/b..", ".hidden", f"x/{PARTIAL}", "ação/ü +%", "a\\b"]:
            self.put(key, b"x")
        for path in ["../up", "/abs", "a/../b"]:
            self.refuses("invalid-config", self.folder.inside, path)

    def test_a_link_is_no_object(self) -> None:
        (self.root / "outside").write_bytes(b"secret")
        (self.root / "link").symlink_to("outside")
        self.refuses("not-found", self.folder.span, "link", 0, None)
        self.assertEqual(self.keys(), ["outside"])


class Uploads(Case):
    def test_an_object_appears_only_when_it_is_finished(self) -> None:
        partial = Partial.begin(self.folder, "set/a")
        partial.write(source(b"hello"), 5)
        self.refuses("not-found", self.folder.stat, "set/a")
        self.assertEqual(self.keys(), [])
        partial.finish()
        self.assertEqual((self.get("set/a"), self.keys()), (b"hello", ["set/a"]))
        self.refuses("session-lost", partial.finish)
        partial.abort()
        self.assertEqual(self.get("set/a"), b"hello")

    def test_a_cut_upload_goes_on_at_its_durable_offset(self) -> None:
        partial = Partial.begin(self.folder, "a")
        partial.write(source(b"first "), 6)
        token = partial.token
        self.refuses("integrity", partial.write, source(b"half of a longer write"), 100)
        self.assertEqual((partial.offset, partial.token), (6, token))
        again = Partial.resume(self.folder, "a", token)
        self.assertEqual(again.write(source(b"second"), 6), 12)
        self.assertEqual(again.finish().size, 12)
        self.assertEqual(self.get("a"), b"first second")

    def test_a_session_that_is_gone_or_of_another_key_is_lost(self) -> None:
        partial = Partial.begin(self.folder, "a")
        token = partial.token
        for key, other in [("b", token), ("a", "nonsense"), ("a", ""), ("a", f"{token}7"), ("a", token.replace(":0", ":-1"))]:
            self.refuses("session-lost", Partial.resume, self.folder, key, other)
        partial.abort()
        partial.abort()
        self.refuses("session-lost", Partial.resume, self.folder, "a", token)

    def test_a_power_cut_that_took_durable_bytes_is_found(self) -> None:
        partial = Partial.begin(self.folder, "a")
        partial.write(source(b"0123456789"), 10)
        os.truncate(next((self.root / PARTIAL).iterdir()), 9)
        self.refuses("session-lost", Partial.resume, self.folder, "a", partial.token)

    def test_every_name_is_durable_before_the_upload_counts_as_finished(self) -> None:
        synced = []

        def sync(file: int) -> None:
            kind = "folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "file"
            synced.append((kind, Path(os.readlink(f"/proc/self/fd/{file}")).name))

        real, os.fsync = os.fsync, sync
        try:
            self.put("x/y/z", b"1")
        finally:
            os.fsync = real
        name = Partial.name("x/y/z")
        self.assertEqual(synced, [("file", name)] * 2 + [("folder", "y"), ("folder", "x"), ("folder", self.root.name)])


class Objects(Case):
    def test_a_range_is_exact_and_never_goes_beyond_the_end(self) -> None:
        self.put("a", b"0123456789")
        for offset, length, wanted in [(3, 4, 4), (8, None, 2), (10, None, 0), (10, 0, 0), (0, None, 10)]:
            self.assertEqual(self.folder.span("a", offset, length), wanted)
        for offset, length in [(8, 3), (11, None), (11, 0)]:
            self.refuses("invalid-config", self.folder.span, "a", offset, length)
        self.refuses("not-found", self.folder.span, "b", 0, None)
        self.refuses("not-found", self.folder.stat, "a/b")

    def test_a_listing_is_in_the_order_of_keys_and_pages_without_a_gap(self) -> None:
        wanted = [f"set/sub{n % 7}/{n:04}" for n in range(PAGE + 205)] + ["set.txt", "set-1/x", "set/a", "set/sub1.x", "zz"]
        for key in wanted:
            (self.root / key).parent.mkdir(parents=True, exist_ok=True)
            (self.root / key).write_bytes(b"x")
        self.assertEqual(self.keys(), sorted(wanted))
        self.assertEqual(self.keys("set/sub1."), ["set/sub1.x"])
        self.assertEqual(self.keys("set-"), ["set-1/x"])
        self.assertEqual(self.keys("nothing/here"), [])

    def test_a_page_that_ends_with_the_last_object_has_no_cursor(self) -> None:
        for n in range(PAGE):
            (self.root / f"{n:04}").touch()
        self.assertIsNone(self.folder.page("", None)[1])

    def test_deleting_the_last_object_removes_its_folders_and_deleting_nothing_is_success(self) -> None:
        top = self.folder
        self.folder = top.inside("root")
        self.put("a/b/c", b"x")
        self.put("a/d", b"y")
        self.folder.delete("a/b/c")
        self.folder.delete("a/b/c")
        self.assertFalse((self.root / "root/a/b").exists())
        self.folder.delete("a")
        self.assertEqual(self.keys(), ["a/d"])
        self.folder.delete("a/d")
        self.assertEqual(os.listdir(self.root / "root"), [PARTIAL])

    def test_what_the_system_says_has_the_kind_that_the_host_acts_on(self) -> None:
        import errno

        for code, kind in [(errno.ENOSPC, "out-of-space"), (errno.EROFS, "access-denied"), (errno.EIO, "other")]:
            self.assertEqual(folder.refused("x", OSError(code, os.strerror(code))).kind, kind)


if __name__ == "__main__":
    unittest.main()
