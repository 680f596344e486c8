"""A Nextcloud as far as cofre uses it: files over WebDAV, chunked upload version 2, checksums computed on demand.

Written from Nextcloud's developer manual ("Chunked file upload") and from what its server does with an object store: chunks are not
shown in the upload's folder. Judged by nc-py-api, an independent client. Usage: nextcloud.py PORT FOLDER USER PASSWORD
"""

import base64
import hashlib
import json
import shutil
import sys
import threading
import urllib.parse
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.sax.saxutils import escape

PORT, FOLDER, USER, PASSWORD = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4]
FILES, UPLOADS = FOLDER / "files", FOLDER / "uploads"
SMALLEST_CHUNK, QUOTA = 5 << 20, 4 << 30
CHECKSUMS = {}
LOCK = threading.Lock()


class Refusal(Exception):
    pass


class Nextcloud(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        if status in (201, 204) and self.command in ("PUT", "MKCOL", "MOVE"):
            headers |= {"OC_FileId": "00000001instance", "OC_ETag": '"etag"'}
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_one(self):
        self.consumed = False
        try:
            self.check_login()
            path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
            if path.startswith("/ocs/"):
                return self.ocs(path)
            getattr(self, "dav_" + self.command.lower())(*self.place(path))
        except Refusal as refusal:
            status, words = refusal.args
            close = {} if self.consumed or not int(self.headers.get("Content-Length") or 0) else {"Connection": "close"}
            xml = '<?xml version="1.0"?><d:error xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns"><s:message>%s</s:message></d:error>'
            self.answer(status, (xml % escape(words)).encode(), Content_Type="application/xml", DAV="1, 3", **close)
        except ConnectionError:
            self.close_connection = True  # the client is gone

    do_OPTIONS = do_PROPFIND = do_GET = do_HEAD = do_PUT = do_MKCOL = do_MOVE = do_DELETE = do_PATCH = do_LOCK = handle_one

    def check_login(self):
        expected = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != expected:
            raise Refusal(401, "No public access to this resource., Username or password was incorrect")

    def ocs(self, path):
        data = {"id": USER} if path.endswith("/user") else {"version": {"major": 31, "minor": 0, "micro": 0}, "capabilities": {}}
        self.answer(200, json.dumps({"ocs": {"meta": {"status": "ok", "statuscode": 100}, "data": data}}).encode(), Content_Type="application/json")

    def place(self, path):
        for root, kind in ((FILES, "files"), (UPLOADS, "uploads")):
            prefix = f"/remote.php/dav/{kind}/{USER}"
            if path.rstrip("/") == prefix or path.startswith(prefix + "/"):
                relative = path[len(prefix) :].strip("/")
                if any(part in ("", ".", "..") for part in relative.split("/")) and relative:
                    raise Refusal(400, "Bad path")
                return kind, root / relative if relative else root
        raise Refusal(404, "File not found")

    def destination(self):
        header = self.headers.get("Destination")
        if not header:
            raise Refusal(400, "The destination header was not passed")
        kind, path = self.place(urllib.parse.unquote(urllib.parse.urlsplit(header).path))
        if kind != "files":
            raise Refusal(400, "Not a file's address")
        return path

    def body(self):
        """The whole body, into a file that nobody sees."""
        self.consumed = True
        partial = FOLDER / f"partial-{threading.get_ident()}"
        with partial.open("wb") as file:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
                    self.copy(file, size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                self.copy(file, int(self.headers.get("Content-Length") or 0))
        return partial

    def copy(self, file, left):
        while left > 0:
            piece = self.rfile.read(min(left, 1 << 20))
            if not piece:
                self.close_connection = True
                raise Refusal(400, "Expected filesize of more bytes than were read")
            file.write(piece)
            left -= len(piece)

    def dav_options(self, kind, path):
        self.answer(200, DAV="1, 3, extended-mkcol, access-control, nextcloud-checksum-update")

    def dav_propfind(self, kind, path):
        self.body().unlink()
        if not path.exists():
            raise Refusal(404, "File not found")
        shown = [path]
        if self.headers.get("Depth") not in ("0", "1"):
            raise Refusal(403, "Depth infinity is refused")
        if path.is_dir() and self.headers["Depth"] == "1" and kind == "files":
            shown += sorted(path.iterdir())
        xml = '<?xml version="1.0"?><d:multistatus xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns" xmlns:oc="http://owncloud.org/ns">'
        xml += "".join(self.response(kind, one) for one in shown) + "</d:multistatus>"
        self.answer(207, xml.encode(), Content_Type="application/xml; charset=utf-8")

    def response(self, kind, path):
        root = FILES if kind == "files" else UPLOADS
        relative = urllib.parse.quote(str(path.relative_to(root)))
        href = f"/remote.php/dav/{kind}/{USER}/" + ("" if relative == "." else relative)
        status = path.stat()
        properties = f"<d:getlastmodified>{formatdate(status.st_mtime, usegmt=True)}</d:getlastmodified>"
        missing = ""
        if path.is_dir():
            used = sum(one.stat().st_size for one in FILES.rglob("*") if one.is_file())
            properties += f"<d:resourcetype><d:collection/></d:resourcetype><d:quota-available-bytes>{QUOTA - used}</d:quota-available-bytes>"
            missing, href = "<d:getcontentlength/><oc:checksums/>", href.rstrip("/") + "/"
        else:
            properties += f"<d:resourcetype/><d:getcontentlength>{status.st_size}</d:getcontentlength>"
            if path in CHECKSUMS:
                properties += f"<oc:checksums><oc:checksum>{CHECKSUMS[path]}</oc:checksum></oc:checksums>"
            else:
                missing = "<oc:checksums/>"
        found = f"<d:propstat><d:prop>{properties}</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>"
        missing = f"<d:propstat><d:prop>{missing}</d:prop><d:status>HTTP/1.1 404 Not Found</d:status></d:propstat>" if missing else ""
        return f"<d:response><d:href>{escape(href)}</d:href>{found}{missing}</d:response>"

    def dav_get(self, kind, path):
        if kind == "uploads":
            raise Refusal(405, "Reading intermediate uploads is not allowed")
        if not path.is_file():
            raise Refusal(404, "File not found")
        size = path.stat().st_size
        first, last, status = 0, size - 1, 200
        wanted = self.headers.get("Range")
        if wanted:
            begin, _, end = wanted.removeprefix("bytes=").partition("-")
            first, last, status = int(begin), min(int(end) if end else size - 1, size - 1), 206
            if first >= size:
                raise Refusal(416, "The range is not satisfiable")
        self.send_response(status)
        self.send_header("Content-Length", str(last - first + 1))
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.end_headers()
        with path.open("rb") as file:
            file.seek(first)
            left = last - first + 1 if self.command == "GET" else 0
            while left > 0 and (piece := file.read(min(left, 1 << 20))):
                self.wfile.write(piece)
                left -= len(piece)

    dav_head = dav_get

    def dav_put(self, kind, path):
        if "Content-Range" in self.headers:
            raise Refusal(400, "Content-Range on PUT requests are forbidden.")
        if kind == "uploads":
            self.destination()
            if not (path.name.isdigit() and 1 <= int(path.name) <= 10_000):
                raise Refusal(400, "Invalid chunk name, must be numeric between 1 and 10000")
        if not path.parent.is_dir():
            raise Refusal(404 if kind == "uploads" else 409, "The parent node does not exist")
        partial, there = self.body(), path.exists()
        with LOCK:
            CHECKSUMS.pop(path, None)
            partial.replace(path)
        self.answer(204 if there else 201)

    def dav_mkcol(self, kind, path):
        if kind == "uploads":
            self.destination()
        if path.exists():
            raise Refusal(405, "The resource you tried to create already exists")
        if not path.parent.is_dir():
            raise Refusal(409, "Parent node does not exist")
        path.mkdir()
        self.answer(201)

    def dav_move(self, kind, path):
        target = self.destination()
        if not target.parent.is_dir():
            raise Refusal(409, "The destination node is not found")
        with LOCK:
            there = target.exists()
            if there and self.headers.get("Overwrite", "T") == "F":
                raise Refusal(412, "The destination node already exists, and the overwrite header is set to false")
            if kind == "uploads":
                self.assemble(path, target)
            elif path.exists():
                path.replace(target)
            else:
                raise Refusal(404, "File not found")
            CHECKSUMS.pop(target, None)
        self.answer(204 if there else 201)

    def assemble(self, path, target):
        if path.name != ".file" or not path.parent.is_dir():
            raise Refusal(404, "File not found")
        chunks = sorted(path.parent.iterdir(), key=lambda chunk: int(chunk.name))
        if any(chunk.stat().st_size < SMALLEST_CHUNK for chunk in chunks[:-1]):
            raise Refusal(400, "EntityTooSmall")
        size = sum(chunk.stat().st_size for chunk in chunks)
        if int(self.headers.get("OC-Total-Length", size)) != size:
            raise Refusal(400, f"Chunks on server do not sum up to {self.headers['OC-Total-Length']} but to {size} bytes")
        whole = FOLDER / f"whole-{threading.get_ident()}"
        with whole.open("wb") as file:
            for chunk in chunks:
                with chunk.open("rb") as piece:
                    shutil.copyfileobj(piece, file, 1 << 20)
        whole.replace(target)
        shutil.rmtree(path.parent)

    def dav_delete(self, kind, path):
        if not path.exists():
            raise Refusal(404, "File not found")
        with LOCK:
            CHECKSUMS.pop(path, None)
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.answer(204)

    def dav_patch(self, kind, path):
        algorithm = self.headers.get("X-Recalculate-Hash", "").lower()
        if kind != "files" or not path.is_file() or algorithm not in hashlib.algorithms_available:
            raise Refusal(501, "There was no plugin in the system that was willing to handle this PATCH method.")
        with path.open("rb") as file:
            checksum = f"{algorithm.upper()}:{hashlib.file_digest(file, algorithm).hexdigest()}"
        CHECKSUMS[path] = checksum
        self.answer(204, OC_Checksum=checksum)

    def dav_lock(self, kind, path):
        raise Refusal(405, "Locking is not offered")


for folder in (FILES, UPLOADS):
    folder.mkdir(parents=True, exist_ok=True)
ThreadingHTTPServer(("127.0.0.1", PORT), Nextcloud).serve_forever()
