"""What both fakes stand on: an HTTPS server, bodies kept on disk, OAuth 2 with PKCE, and a second port on which a test gives orders.

The orders, JSON by POST to /, each answered with the state:
  {"fail": {"match": "…", "skip": 0, "times": 1, "status": 503, "reason": "…", "retry_after": 2, "after": false, "hang_up": false}}
      the next requests whose line has the text, but for the first few, are answered so; `after`: once they were carried out; `hang_up`:
      with no answer
  {"expire": true}       every access token ends
  {"revoke": "TOKEN"}    a refresh token is worth nothing any more
  {"forget": true}       open upload sessions are forgotten
  {"quota": {"ACCOUNT": BYTES}}, {"page": N}, {"approve": "USER CODE"}
"""

import argparse
import base64
import contextlib
import hashlib
import json
import os
import re
import secrets
import socket
import ssl
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = 1 << 20
TOKEN_SECONDS = 3600


class Refusal(Exception):
    """Ends a request with an answer that is no success."""

    def __init__(self, status, body, headers=None, content_type="application/json"):
        super().__init__(status)
        self.status, self.body, self.headers, self.content_type = status, body, headers or {}, content_type


class HangUp(Exception):
    """Ends the connection without an answer."""


class State:
    """Everything that outlives a request. One lock; bodies are moved outside of it."""

    def __init__(self, directory):
        self.directory = directory
        self.lock = threading.RLock()
        self.faults, self.lines = [], []
        self.access, self.refresh, self.clients, self.codes, self.devices = {}, {}, {}, {}, {}
        self.sessions, self.quota = {}, {}
        self.page = 1000
        self.count = 0

    def new_id(self, length=24):
        return secrets.token_urlsafe(64).replace("-", "x").replace("_", "y")[:length]

    def new_file(self):
        with self.lock:
            self.count += 1
            return os.path.join(self.directory, f"body-{self.count}")

    def order(self, order):
        with self.lock:
            if "fail" in order:
                self.faults.append({"skip": 0, "times": 1, "after": False, "hang_up": False, **order["fail"]})
            if order.get("expire"):
                self.access.clear()
            if "revoke" in order:
                self.refresh.pop(order["revoke"], None)
            if order.get("forget"):
                self.sessions.clear()
            self.quota.update(order.get("quota", {}))
            self.page = order.get("page", self.page)
            if "approve" in order:
                for device in self.devices.values():
                    if device["user_code"] == order["approve"]:
                        device["approved"] = True
            state = {"faults": len(self.faults), "lines": self.lines, **self.report()}
            if order.get("clear"):
                self.lines = []
            return state

    def report(self):
        return {}

    def meet(self, line):
        """The fault that a request meets, if any."""
        with self.lock:
            for fault in self.faults:
                if fault["match"] in line:
                    if fault["skip"] > 0:
                        fault["skip"] -= 1
                        continue
                    fault["times"] -= 1
                    if fault["times"] <= 0:
                        self.faults.remove(fault)
                    return fault
        return None

    # OAuth 2 (RFC 6749, 7636, 8628), the same for both services but for details that they give.

    def grant(self, account):
        token = "at-" + secrets.token_hex(16)
        self.access[token] = {**account, "until": time.time() + TOKEN_SECONDS}
        return token

    def check_client(self, form, authorization, secret_optional=False):
        identity, secret = form.get("client_id"), form.get("client_secret")
        if (authorization or "").startswith("Basic "):
            identity, secret = base64.b64decode(authorization[6:]).decode().split(":", 1)
        known = self.clients.get(identity)
        if known is None or (secret is None and not secret_optional) or (secret is not None and secret != known):
            raise Refusal(401, {"error": "invalid_client", "error_description": "The OAuth client was not found."})
        return identity

    def from_refresh_token(self, form, client):
        account = self.refresh.get(form.get("refresh_token"))
        if account is None or account["client"] != client:
            raise Refusal(400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."})
        return account

    def from_code(self, form, client):
        """A code is good once, for its client and its redirect, and for whoever has the verifier of its challenge."""
        code = self.codes.pop(form.get("code"), None)
        verifier = form.get("code_verifier", "")
        if code is None or code["client"] != client or code["redirect"] != form.get("redirect_uri"):
            raise Refusal(400, {"error": "invalid_grant", "error_description": "Malformed auth code."})
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        if not re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier) or challenge != code["challenge"]:
            raise Refusal(400, {"error": "invalid_grant", "error_description": "Invalid code verifier."})
        return code

    def new_code(self, query, account):
        if query.get("client_id") not in self.clients or query.get("response_type") != "code":
            raise Refusal(400, {"error": "invalid_request"})
        if query.get("code_challenge_method") != "S256" or len(query.get("code_challenge", "")) != 43:
            raise Refusal(400, {"error": "invalid_request", "error_description": "PKCE is wanted"})
        code = "4/" + secrets.token_urlsafe(24)
        self.codes[code] = {
            "client": query["client_id"],
            "redirect": query.get("redirect_uri"),
            "challenge": query["code_challenge"],
            "scope": query.get("scope", ""),
            "account": account,
        }
        return code


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 120
    state = None
    # The answer's head and its first bytes in one packet.
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        if isinstance(self.connection, ssl.SSLSocket):
            # In the connection's own thread: one that never speaks must not hold up the others.
            self.connection.settimeout(10)
            self.connection.do_handshake()
            self.connection.settimeout(self.timeout)

    def log_message(self, *_):
        pass

    # Bodies

    def pieces(self):
        """The request's body as it comes. Ends early with an exception, as a cut connection does."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while True:
                length = int(self.rfile.readline().split(b";")[0], 16)
                left = length
                while left:
                    piece = self.rfile.read(min(left, BLOCK))
                    if not piece:
                        raise ConnectionError("cut")
                    left -= len(piece)
                    yield piece
                self.rfile.readline()
                if length == 0:
                    self.taken = True
                    return
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            piece = self.rfile.read1(min(left, BLOCK))
            if not piece:
                raise ConnectionError("cut")
            left -= len(piece)
            yield piece
        self.taken = True

    def body(self, most=1 << 20):
        body = b""
        for piece in self.pieces():
            body += piece
            if len(body) > most:
                raise Refusal(413, {"error": "too much"})
        return body

    def form(self):
        form = dict(urllib.parse.parse_qsl(self.query_text))
        form.update(urllib.parse.parse_qsl(self.body().decode()))
        return form

    # Answers

    def answer(self, status, body=None, headers=None, content_type="application/json"):
        if body is None:
            body = b""
        elif not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if self.fault and self.fault["after"]:
            raise self.refuse(self.fault)
        self.head(status, len(body), {"Content-Type": content_type, **(headers or {})})
        if self.command != "HEAD":
            self.wfile.write(body)

    def head(self, status, length, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        if not self.taken:
            # What is left of the body would be read as the next request.
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()

    def answer_file(self, path, size, headers, content_type="application/octet-stream"):
        """A file, or the range of it that was asked for (RFC 9110, 14)."""
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, end = 0, size
        if asked:
            first, end = int(asked[1]), min(int(asked[2]) + 1, size) if asked[2] else size
            if first >= size or end <= first:
                return self.answer(416, b"", {"Content-Range": f"bytes */{size}"})
            headers = {**headers, "Content-Range": f"bytes {first}-{end - 1}/{size}"}
        if self.fault and self.fault["after"]:
            raise self.refuse(self.fault)
        self.head(206 if asked else 200, end - first, {"Content-Type": content_type, "Accept-Ranges": "bytes", **headers})
        with open(path, "rb") as file:
            file.seek(first)
            left = end - first
            while left:
                piece = file.read(min(left, BLOCK))
                self.wfile.write(piece)
                left -= len(piece)

    # One request

    def any(self):
        parts = urllib.parse.urlsplit(self.path)
        self.query_text = parts.query
        self.route = parts.path
        self.query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        self.taken = not (self.headers.get("Content-Length", "0") != "0" or self.headers.get("Transfer-Encoding"))
        line = f"{self.command} {urllib.parse.unquote(self.path)}"
        with self.state.lock:
            self.state.lines.append(line)
        self.fault = self.state.meet(line)
        try:
            if self.fault and not self.fault["after"]:
                raise self.refuse(self.fault)
            self.serve()
        except Refusal as refusal:
            self.fault = None
            self.drain()
            self.answer(refusal.status, refusal.body, refusal.headers, refusal.content_type)
        except (HangUp, ConnectionError, TimeoutError, ssl.SSLError):
            self.close_connection = True
            # The connection itself: the streams on it would keep it open.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self.connection, socket.SHUT_RDWR)

    def drain(self):
        """Takes the rest of a body, so that the answer is read before the connection ends; one that is too large is left."""
        left = int(self.headers.get("Content-Length") or 0)
        if not self.taken and left <= 64 * BLOCK and "chunked" not in self.headers.get("Transfer-Encoding", ""):
            try:
                for _ in self.pieces():
                    pass
            except (ConnectionError, TimeoutError, ValueError):
                pass

    def refuse(self, fault):
        if fault["hang_up"]:
            return HangUp()
        headers = {"Retry-After": str(fault["retry_after"])} if fault.get("retry_after") is not None else {}
        return self.failure(fault["status"], fault.get("reason", ""), headers)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = any


def serve(state, handler):
    """Runs until it is ended: the service on one port, the orders on another. Says `ready` once both listen."""
    arguments = options()

    class Orders(BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers.get("Content-Length") or 0)
            answer = json.dumps(state.order(json.loads(self.rfile.read(length) or b"{}"))).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request, address):
            # A client that goes away is no news; a mistake in here is.
            if not isinstance(sys.exc_info()[1], (OSError, ssl.SSLError)):
                super().handle_error(request, address)

    handler.state = state
    service = Server(("127.0.0.1", arguments.port), handler)
    if arguments.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.certificate, arguments.key)
        service.socket = context.wrap_socket(service.socket, server_side=True, do_handshake_on_connect=False)
    orders = Server(("127.0.0.1", arguments.orders), Orders)
    threading.Thread(target=orders.serve_forever, daemon=True).start()
    print("ready", flush=True)
    service.serve_forever()


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--orders", type=int, required=True)
    parser.add_argument("--directory", required=True)
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    return parser.parse_args()
