"""A server of the protocol in plugins/rest/README.md, with Python's standard library alone; `--plain` leaves tus out.

Usage: server.py PORT FOLDER TOKENS.json [--plain]; the tokens are {"TOKEN": {"may": "write" | "read" | "nothing", "quota": BYTES}}.
An object is a file, named by the SHA-256 of its key, beside a file with what is known of it; both are renamed into place.
"""

import base64
import fcntl
import hashlib
import json
import os
import sys
import tempfile
import time
import urllib.parse
import uuid
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PORT, FOLDER, TOKENS = int(sys.argv[1]), Path(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text())
PLAIN = "--plain" in sys.argv
OBJECTS, PARTIAL = FOLDER / "objects", FOLDER / "partial"
BASE, PAGE, PIECE = "/objects", 500, 1 << 20
UPLOADS = BASE + "/.uploads"


class Refusal(Exception):
    """A status, and words for the administrator."""


def file_of(key):
    return OBJECTS / hashlib.sha256(key.encode()).hexdigest()


def known():
    """What is stored: facts by key."""
    facts = {}
    for path in OBJECTS.glob("*.json"):
        try:
            fact = json.loads(path.read_text())
            facts[fact["key"]] = fact
        except FileNotFoundError:
            pass  # removed meanwhile
    return facts


class Server(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do(self):
        try:
            self.allow()
            url = urllib.parse.urlsplit(self.path)
            path = urllib.parse.unquote(url.path, errors="strict")
            if path == BASE + "/" and self.command == "GET":
                return self.page(urllib.parse.parse_qs(url.query, keep_blank_values=True))
            if path == UPLOADS or path.startswith(UPLOADS + "/"):
                return self.tus(path.removeprefix(UPLOADS).strip("/"))
            if not path.startswith(BASE + "/") or self.command not in ("PUT", "GET", "HEAD", "DELETE"):
                raise Refusal(404, "There is nothing at this address.")
            key = path.removeprefix(BASE + "/")
            if any(part in ("", ".", "..") for part in key.split("/")) or key.split("/")[0] == ".uploads":
                raise Refusal(404, "No object has such a key.")
            {"PUT": self.put, "GET": self.get, "HEAD": self.get, "DELETE": self.delete}[self.command](key)
        except Refusal as refusal:
            status, words = refusal.args
            # Its body may not have been read.
            self.answer(status, json.dumps({"title": words}).encode(), {"Content-Type": "application/problem+json", "Connection": "close"})
        except ConnectionError:
            self.close_connection = True  # the client is gone

    do_PUT = do_GET = do_HEAD = do_DELETE = do_OPTIONS = do_POST = do_PATCH = do

    def allow(self):
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        self.account = TOKENS.get(token) if scheme.lower() == "bearer" else None
        if self.account is None or self.account["may"] == "nothing":
            raise Refusal(401, "The token is unknown or has expired.")
        if self.command not in ("GET", "HEAD", "OPTIONS") and self.account["may"] != "write":
            raise Refusal(403, "The token may only read.")

    def answer(self, status, body=b"", headers={}):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def free(self):
        return self.account.get("quota", 1 << 40) - sum(fact["size"] for fact in known().values())

    def pieces(self):
        """The body, whole or a failure."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while left := int(self.line().split(b";")[0], 16):
                yield from self.exactly(left)
                self.line()
            while self.line().strip():
                pass
        else:
            yield from self.exactly(int(self.headers.get("Content-Length", 0)))

    def line(self):
        line = self.rfile.readline(1024)
        if not line.endswith(b"\n"):
            raise Refusal(400, "The body ended early.")
        return line

    def exactly(self, left):
        while left > 0:
            piece = self.rfile.read(min(left, PIECE))
            if not piece:
                raise Refusal(400, "The body ended early.")
            left -= len(piece)
            yield piece

    def store(self, file):
        """Adds the body to a file, as far as it comes."""
        free = self.free() - file.tell()
        try:
            for piece in self.pieces():
                free -= len(piece)
                if free < 0:
                    raise Refusal(507, "The quota is used up.")
                file.write(piece)
        except OSError as error:
            raise Refusal(507 if error.errno in (28, 122) else 500, "The object cannot be stored.") from error

    def keep(self, key, partial):
        """Gives a whole file its key; whether it replaced another one."""
        with partial.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        facts = {"key": key, "size": partial.stat().st_size, "modified_unix_ms": int(time.time() * 1000), "sha256": digest}
        path, described = file_of(key), partial.with_suffix(".json.new")
        there = path.exists()
        described.write_text(json.dumps(facts))
        os.replace(partial, path)
        os.replace(described, path.with_suffix(".json"))
        return there

    def put(self, key):
        handle, name = tempfile.mkstemp(dir=PARTIAL)
        partial = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                self.store(file)
            there = self.keep(key, partial)
        finally:
            partial.unlink(missing_ok=True)
        self.answer(204 if there else 201)

    def tus(self, name):
        headers = {"Tus-Resumable": "1.0.0", "Cache-Control": "no-store"}
        if PLAIN:
            raise Refusal(404, "There is no tus here.")
        if self.command == "OPTIONS":
            extensions = {"Tus-Version": "1.0.0", "Tus-Extension": "creation,creation-defer-length,termination"}
            return self.answer(204, headers={**headers, **extensions})
        if self.headers.get("Tus-Resumable") != "1.0.0":
            raise Refusal(412, "This server speaks tus 1.0.0.")
        if self.command == "POST" and not name:
            return self.create(headers)
        partial = PARTIAL / name
        if not name.isalnum() or not partial.exists():
            raise Refusal(404, "There is no such upload.")
        if self.command == "PATCH":
            return self.patch(partial, headers)
        if self.command == "DELETE":
            for file in (partial, partial.with_suffix(".key")):
                file.unlink(missing_ok=True)
        self.answer(204 if self.command == "DELETE" else 200, headers={**headers, "Upload-Offset": str(partial.stat().st_size) if partial.exists() else "0"})

    def create(self, headers):
        metadata = dict(pair.split(" ", 1) for pair in self.headers.get("Upload-Metadata", "").split(",") if " " in pair)
        if "key" not in metadata or self.headers.get("Upload-Defer-Length") != "1":
            raise Refusal(400, "An upload needs a key, and declares its length last.")
        name = uuid.uuid4().hex
        (PARTIAL / name).with_suffix(".key").write_bytes(base64.b64decode(metadata["key"]))
        (PARTIAL / name).touch()
        self.answer(201, headers={**headers, "Location": f"{UPLOADS}/{name}"})

    def patch(self, partial, headers):
        with partial.open("r+b") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Refusal(423, "Another request writes to it.") from None
            if file.seek(0, os.SEEK_END) != int(self.headers.get("Upload-Offset", -1)):
                raise Refusal(409, "The offset is another one.")
            self.store(file)
            offset = file.tell()
        length = self.headers.get("Upload-Length")
        if length is not None:
            if int(length) != offset:
                raise Refusal(400, "It is not whole.")
            key = partial.with_suffix(".key")
            self.keep(key.read_text(), partial)
            key.unlink()
        self.answer(204, headers={**headers, "Upload-Offset": str(offset)})

    def get(self, key):
        try:
            facts = json.loads(file_of(key).with_suffix(".json").read_text())
            file = file_of(key).open("rb")
        except FileNotFoundError:
            raise Refusal(404, "There is no such object.") from None
        size = facts["size"]
        first, last, status = 0, size - 1, 200
        if wanted := self.headers.get("Range"):
            begin, _, end = wanted.removeprefix("bytes=").partition("-")
            first, last, status = int(begin), min(int(end or size - 1), size - 1), 206
            if first >= size:
                raise Refusal(416, "The object is shorter.")
        headers = {
            "Content-Length": str(last - first + 1),
            "Last-Modified": formatdate(facts["modified_unix_ms"] / 1000, usegmt=True),
            "Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(facts['sha256'])).decode()}:",
        }
        if status == 206:
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        with file:
            self.answer(status, b"", headers)
            file.seek(first)
            left = last - first + 1 if self.command == "GET" else 0
            while left > 0 and (piece := file.read(min(left, PIECE))):
                self.wfile.write(piece)
                left -= len(piece)

    def delete(self, key):
        there = file_of(key).exists()
        file_of(key).with_suffix(".json").unlink(missing_ok=True)
        file_of(key).unlink(missing_ok=True)
        if not there:
            raise Refusal(404, "There is no such object.")
        self.answer(204)

    def page(self, query):
        prefix, cursor = query.get("prefix", [""])[0], query.get("cursor", [""])[0]
        facts = known()
        keys = sorted(key for key in facts if key.startswith(prefix) and key > cursor)
        page = {"objects": [facts[key] for key in keys[:PAGE]], "free_bytes": max(self.free(), 0)}
        if len(keys) > PAGE:
            page["cursor"] = keys[PAGE - 1]
        self.answer(200, json.dumps(page).encode(), {"Content-Type": "application/json"})


for folder in (OBJECTS, PARTIAL):
    folder.mkdir(parents=True, exist_ok=True)
ThreadingHTTPServer(("127.0.0.1", PORT), Server).serve_forever()
