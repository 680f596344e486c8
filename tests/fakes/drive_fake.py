"""A fake of Google Drive v3 with Google's OAuth: as strict as the documents, and where they are silent as hostile as they permit.

Accounts: `ana`, a user with her own drive, manager of the shared drive; `robot`, a service account that owns no space and is content
manager of the shared drive; `cheio`, a user whose space is used up. Held to the truth by Google's own Python client.
"""

import hashlib
import json
import os
import re
import shutil
import time
import urllib.parse

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from service import Handler, Refusal, State, options, serve

FOLDER = "application/vnd.google-apps.folder"
GRANULE = 256 << 10
SCOPES = "https://www.googleapis.com/auth/"
# The scopes that a device may ask for ("Allowed scopes", OAuth 2.0 for TV and Limited-Input Device Applications).
DEVICE_SCOPES = {SCOPES + "drive.file", SCOPES + "drive.appdata", "email", "openid", "profile"}
SHARED = "0AShared-Drive_x"
ROBOT = "robot@cofre-test.iam.gserviceaccount.example"
# Users that the service account may act for.
DELEGATED = {"ana@empresa.example": "ana"}
# A shared drive's roles, from "Roles and permissions".
MANAGERS, CONTENT_MANAGERS = {"ana"}, {"robot"}


def b64(text):
    import base64

    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def error(status, reason, message, **more):
    body = {"error": {"code": status, "message": message, "errors": [{"domain": "global", "reason": reason, "message": message, **more}]}}
    return Refusal(status, body, content_type="application/json; charset=UTF-8")


def not_found(identity):
    return error(404, "notFound", f"File not found: {identity}.", locationType="parameter", location="fileId")


def full():
    return error(403, "storageQuotaExceeded", "The user's Drive storage quota has been exceeded.")


class Drive(State):
    def __init__(self, directory):
        super().__init__(directory)
        self.nodes, self.done, self.order_of_change = {}, {}, 0
        for account in ("ana", "robot", "cheio"):
            self.add(account, {"name": "My Drive", "mimeType": FOLDER, "parents": []}, identity=f"root-{account}")
        self.add("ana", {"name": "Equipe", "mimeType": FOLDER, "parents": []}, identity=SHARED, drive=SHARED)
        self.quota = {"ana": 100 << 30, "robot": 0, "cheio": 0}
        self.clients = {"CID": "CSEC", "APP": "ASEC"}
        whole = {"client": "CID", "scope": SCOPES + "drive"}
        self.refresh = {
            "RT": {"account": "ana", **whole},
            "RT-READ": {"account": "ana", **whole, "scope": SCOPES + "drive.readonly"},
            "RT-FILE": {"account": "ana", **whole, "scope": SCOPES + "drive.file"},
            "RT-FULL": {"account": "cheio", **whole},
        }
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.public = key.public_key()
        encoded = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        file = {"type": "service_account", "project_id": "cofre-test", "private_key_id": "k1", "client_email": ROBOT, "client_id": "1"}
        file |= {"private_key": key.private_bytes(*encoded).decode(), "token_uri": "https://oauth2.googleapis.com/token"}
        stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        for name, private in (("robot.json", file), ("stranger.json", {**file, "private_key": stranger.private_bytes(*encoded).decode()})):
            with open(os.path.join(directory, name), "w") as out:
                json.dump(private, out, indent=2)

    def report(self):
        # Sessions of a service that forgets nothing by itself.
        return {"sessions": len(self.sessions), "paths": sorted(self.path(i) for i, n in self.nodes.items() if n["parents"] and not self.trashed(i))}

    def path(self, identity):
        node = self.nodes[identity]
        return "/".join(filter(None, [self.path(node["parents"][0]) if node["parents"] else "", node["name"] if node["parents"] else ""]))

    def now(self):
        # Two changes are never at the same moment.
        self.order_of_change = max(self.order_of_change + 1, int(time.time() * 1000))
        moment = self.order_of_change
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment // 1000)) + f".{moment % 1000:03}Z"

    def add(self, account, metadata, identity=None, drive=None, app=None):
        identity, now = identity or "1" + self.new_id(32), self.now()
        node = {"owner": account, "drive": drive, "app": app, "path": None, "length": 0, "md5": None, "removed": False}
        node |= {"name": "Untitled", "mimeType": "application/octet-stream", "created": now, "modified": now, **metadata}
        self.nodes[identity] = node
        return identity

    def trashed(self, identity):
        """What lies in a folder in the trash is there too."""
        node = self.nodes[identity]
        return node["removed"] or any(parent in self.nodes and self.trashed(parent) for parent in node["parents"])

    def used(self, account):
        return sum(node["length"] for node in self.nodes.values() if node["owner"] == account and not node["drive"])

    def describe(self, identity):
        node = self.nodes[identity]
        seen = {"kind": "drive#file", "id": identity, "name": node["name"], "mimeType": node["mimeType"], "parents": node["parents"]}
        seen |= {"createdTime": node["created"], "modifiedTime": node["modified"], "trashed": self.trashed(identity)}
        seen |= {"explicitlyTrashed": node["removed"], "appProperties": node.get("appProperties", {})}
        if node["drive"]:
            seen["driveId"] = node["drive"]
        if node["md5"]:
            seen |= {"size": str(node["length"]), "md5Checksum": node["md5"]}
        return seen

    def remove(self, identity):
        for child in [child for child, node in self.nodes.items() if identity in node["parents"]]:
            self.remove(child)
        node = self.nodes.pop(identity)
        if node["path"]:
            os.unlink(node["path"])


class Query:
    """`q` of files.list ("Search query terms and operators"), as a function of a file's description."""

    WORDS = re.compile(r"\s*(?:'((?:[^'\\]|\\.)*)'|(!=|<=|>=|[=<>(){}])|([A-Za-z]+))")

    def __init__(self, text, drive):
        self.words, self.drive, at = [], drive, 0
        while text[at:].strip():
            word = self.WORDS.match(text, at)
            if not word:
                raise error(400, "invalid", "Invalid Value", locationType="parameter", location="q")
            self.words.append(("text", re.sub(r"\\(.)", r"\1", word[1])) if word[1] is not None else ("word", word[2] or word[3]))
            at = word.end()
        self.fits = self.either()
        if self.words:
            raise error(400, "invalid", "Invalid Value", locationType="parameter", location="q")

    def take(self, *wanted):
        if self.words and (not wanted or self.words[0][1] in wanted and self.words[0][0] == "word"):
            return self.words.pop(0)
        if wanted:
            return None
        raise error(400, "invalid", "Invalid Value", locationType="parameter", location="q")

    def either(self):
        terms = [self.both()]
        while self.take("or"):
            terms.append(self.both())
        return lambda file: any(term(file) for term in terms)

    def both(self):
        terms = [self.one()]
        while self.take("and"):
            terms.append(self.one())
        return lambda file: all(term(file) for term in terms)

    def one(self):
        if self.take("not"):
            term = self.one()
            return lambda file: not term(file)
        if self.take("("):
            term = self.either()
            self.take(")") or self.take("unbalanced")
            return term
        kind, first = self.take()
        _, operator = self.take()
        if kind == "text" and operator == "in":
            _, field = self.take()
            return self.member(first, field)
        if first == "appProperties" and operator == "has":
            words = [self.take()[1] for _ in range(9)]
            return lambda file: file["appProperties"].get(words[3]) == words[7]
        value = self.take()[1]
        return self.compare(first, operator, value)

    def member(self, identity, field):
        if field != "parents":
            raise error(400, "invalid", "Invalid Value", locationType="parameter", location="q")
        identity = self.drive.resolve(identity)
        if not self.drive.sees(identity):
            raise not_found("")
        return lambda file: identity in file["parents"]

    def compare(self, field, operator, value):
        if field == "trashed":
            return lambda file: file["trashed"] == ((value == "true") == (operator == "="))
        if field == "name" and operator in ("=", "!="):
            # Names are compared without regard to case.
            return lambda file: (file["name"].lower() == value.lower()) == (operator == "=")
        if field == "name" and operator == "contains":
            return lambda file: file["name"].lower().startswith(value.lower())
        if field == "mimeType" and operator in ("=", "!="):
            return lambda file: (file["mimeType"] == value) == (operator == "=")
        raise error(400, "invalid", "Invalid Value", locationType="parameter", location="q")


def mask(fields, value, default):
    """A partial answer ("Return specific fields"): `a,b(c,d)`. Without `fields` only what the service gives by itself."""
    fields = fields or default
    if fields == "*" or not isinstance(value, dict):
        return value
    chosen, depth, start = {}, 0, 0
    for at, letter in enumerate(fields + ","):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter != "," or depth:
            continue
        name, _, inner = fields[start:at].strip().replace("/", "(", 1).partition("(")
        start, inner = at + 1, inner.rstrip(")")
        if name not in value:
            continue
        found = value[name]
        if inner:
            found = [mask(inner, one, "*") for one in found] if isinstance(found, list) else mask(inner, found, "*")
        chosen[name] = found
    return chosen


class DriveHandler(Handler):
    def failure(self, status, reason, headers):
        refusal = error(status, reason or "backendError", reason or "Backend Error")
        refusal.headers = headers
        return refusal

    def serve(self):
        route = self.route
        if route == "/token" and self.command == "POST":
            return self.answer(200, self.token(self.form()))
        if route == "/o/oauth2/v2/auth":
            return self.authorize()
        if route == "/device/code" and self.command == "POST":
            return self.device(self.form())
        bearer = self.headers.get("Authorization", "")
        with self.state.lock:
            self.who = self.state.access.get(bearer.removeprefix("Bearer "))
        if not self.who or self.who["until"] < time.time():
            raise error(401, "authError", "Invalid Credentials", locationType="header", location="Authorization")
        if self.who["scope"].endswith(".readonly") and self.command not in ("GET", "HEAD"):
            raise self.no_scope()
        if route.startswith("/upload/drive/v3/files"):
            return self.upload(route.removeprefix("/upload/drive/v3/files").lstrip("/"))
        if route == "/drive/v3/about":
            return self.about()
        if route == "/drive/v3/files":
            return self.list() if self.command == "GET" else self.create()
        if route.startswith("/drive/v3/files/"):
            return self.one(self.resolve(route.split("/")[4]))
        raise error(404, "notFound", "Not Found")

    def no_scope(self):
        refusal = error(403, "insufficientPermissions", "Request had insufficient authentication scopes.")
        refusal.body["error"] |= {"status": "PERMISSION_DENIED", "details": [{"reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "domain": "googleapis.com"}]}
        return refusal

    # OAuth

    def token(self, form):
        state, grant = self.state, form.get("grant_type")
        with state.lock:
            if grant == "urn:ietf:params:oauth:grant-type:jwt-bearer":
                account = self.assertion(form.get("assertion", ""))
                return {"access_token": state.grant(account), "expires_in": 3599, "token_type": "Bearer"}
            client = state.check_client(form, self.headers.get("Authorization"))
            if grant == "refresh_token":
                account = state.from_refresh_token(form, client)
                return {"access_token": state.grant(account), "expires_in": 3599, "scope": account["scope"], "token_type": "Bearer"}
            if grant == "authorization_code":
                return self.log_in(client, state.from_code(form, client)["scope"])
            if grant == "urn:ietf:params:oauth:grant-type:device_code":
                return self.poll(form, client)
        raise Refusal(400, {"error": "unsupported_grant_type"})

    def assertion(self, text):
        """RFC 7523 section 3, and "Using OAuth 2.0 for Server to Server Applications"."""
        bad = Refusal(400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."})
        try:
            header, claims, signature = text.split(".")
            signed = f"{header}.{claims}".encode()
            header, claims, signature = json.loads(b64(header)), json.loads(b64(claims)), b64(signature)
            self.state.public.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        except Exception as problem:
            raise bad from problem
        now, origin = time.time(), ("https" if options().certificate else "http") + f"://{self.headers['Host']}"
        # Google's own library names Google's own address, wherever it asks.
        audiences = {f"{origin}/token", "https://oauth2.googleapis.com/token"}
        fine = header["alg"] == "RS256" and claims["iss"] == ROBOT and claims["aud"] in audiences
        if not fine or not now - 3900 < claims["iat"] < now + 300 or not now < claims["exp"] <= claims["iat"] + 3600:
            raise Refusal(400, {"error": "invalid_grant", "error_description": "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."})
        if not claims.get("scope", "").startswith(SCOPES + "drive"):
            raise Refusal(400, {"error": "invalid_scope", "error_description": "Invalid OAuth scope or ID token audience provided."})
        account = DELEGATED.get(claims["sub"]) if "sub" in claims else "robot"
        if account is None:
            raise Refusal(401, {"error": "unauthorized_client", "error_description": "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested."})
        return {"account": account, "scope": claims["scope"], "client": "robot"}

    def log_in(self, client, scope):
        token = "1//" + self.state.new_id(40)
        account = {"account": "ana", "client": client, "scope": scope}
        self.state.refresh[token] = account
        return {"access_token": self.state.grant(account), "expires_in": 3599, "refresh_token": token, "scope": scope, "token_type": "Bearer"}

    def authorize(self):
        """The user agrees at once; a browser would be led to the redirect."""
        with self.state.lock:
            redirect = self.query.get("redirect_uri", "")
            # The loopback is the only place that is left for a program without a web site.
            if not re.fullmatch(r"http://(127\.0\.0\.1|localhost)(:\d+)?/?", redirect):
                raise Refusal(400, {"error": "redirect_uri_mismatch"})
            if self.query.get("access_type") != "offline" or not self.query.get("scope"):
                raise Refusal(400, {"error": "invalid_request"})
            code = self.state.new_code(self.query, "ana")
            back = urllib.parse.urlencode({"state": self.query.get("state", ""), "code": code, "scope": self.query["scope"]})
        self.answer(302, b"", {"Location": f"{redirect}?{back}"})

    def device(self, form):
        with self.state.lock:
            if form.get("client_id") not in self.state.clients:
                raise Refusal(401, {"error": "invalid_client"})
            if not set(form.get("scope", "").split()) <= DEVICE_SCOPES or not form.get("scope"):
                raise Refusal(400, {"error": "invalid_scope", "error_description": "Invalid device flow scope: " + form.get("scope", "")})
            code = self.state.new_id(40)
            user = "-".join(self.state.new_id(4).upper() for _ in range(2))
            self.state.devices[code] = {"user_code": user, "client": form["client_id"], "scope": form["scope"], "approved": False, "asked": 0}
        answer = {"device_code": code, "user_code": user, "expires_in": 1800, "interval": 1, "verification_url": "https://www.google.com/device"}
        self.answer(200, answer)

    def poll(self, form, client):
        device = self.state.devices.get(form.get("device_code"))
        if device is None or device["client"] != client:
            raise Refusal(400, {"error": "invalid_grant", "error_description": "Malformed device code."})
        hasty, device["asked"] = time.time() - device["asked"] < 0.95, time.time()
        if hasty:
            raise Refusal(403, {"error": "slow_down", "error_description": "Forbidden"})
        if not device["approved"]:
            raise Refusal(428, {"error": "authorization_pending", "error_description": "Precondition Required"})
        del self.state.devices[form["device_code"]]
        return self.log_in(client, device["scope"])

    # Who may see and do what

    def resolve(self, identity):
        return f"root-{self.who['account']}" if identity == "root" else identity

    def sees(self, identity):
        """What is not to be seen is not there: of others, of a shared drive that the request does not know, not made by this app."""
        node = self.state.nodes.get(identity)
        if node is None:
            return False
        if node["drive"]:
            if self.query.get("supportsAllDrives") != "true" or self.who["account"] not in MANAGERS | CONTENT_MANAGERS:
                return False
        elif node["owner"] != self.who["account"]:
            return False
        return not self.who["scope"].endswith("drive.file") or node["app"] == self.who["client"] or not node["parents"]

    def node(self, identity):
        if not self.sees(identity):
            raise not_found(identity)
        return self.state.nodes[identity]

    def folder(self, identity):
        node = self.node(identity)
        if node["mimeType"] != FOLDER:
            raise error(403, "parentNotAFolder", "The specified parent is not a folder.")
        return node

    def account(self):
        return self.who["account"]

    def room(self, drive, more):
        """Refuses what does not fit; a shared drive has its own space."""
        if drive is None and (self.state.used(self.account()) + more > self.state.quota[self.account()] or self.state.quota[self.account()] == 0):
            raise full()

    # Files

    def about(self):
        if "fields" not in self.query:
            raise error(400, "required", "The 'fields' parameter is required for this method.")
        with self.state.lock:
            used = str(self.state.used(self.account()))
            quota = {"limit": str(self.state.quota[self.account()]), "usage": used, "usageInDrive": used}
        self.answer(200, mask(self.query["fields"], {"kind": "drive#about", "storageQuota": quota}, ""))

    def list(self):
        query = self.query
        size = int(query.get("pageSize", 100))
        if not 1 <= size <= 1000:
            raise error(400, "invalid", "Invalid value '%d'. Values must be within the range: [1, 1000]" % size)
        everywhere = query.get("includeItemsFromAllDrives") == "true"
        if (everywhere or "driveId" in query or query.get("corpora") == "drive") and query.get("supportsAllDrives") != "true":
            raise error(400, "invalid", "includeItemsFromAllDrives requires supportsAllDrives")
        if ("driveId" in query) != (query.get("corpora") == "drive") or ("driveId" in query and not everywhere):
            raise error(400, "invalid", "The driveId parameter must be specified if and only if corpora is set to drive.")
        with self.state.lock:
            if "driveId" in query and (query["driveId"] != SHARED or not self.sees(SHARED)):
                raise error(404, "notFound", f"Shared drive not found: {query['driveId']}")
            fits = Query(query.get("q", ""), self).fits if query.get("q") else lambda _: True
            # Only for speed: what lies elsewhere would not fit either.
            inside = re.match(r"'([^']*)' in parents and (?!.*\b(or|not)\b)", query.get("q", ""))
            inside = {self.resolve(inside[1])} if inside else None
            found = [(identity, node) for identity, node in self.state.nodes.items() if inside is None or not inside.isdisjoint(node["parents"])]
            found = [identity for identity, node in found if node["parents"] and self.sees(identity) and (everywhere or not node["drive"])]
            found = [identity for identity in found if "driveId" not in query or self.state.nodes[identity]["drive"]]
            found = [file for file in map(self.state.describe, found) if fits(file)]
        size, page = min(size, self.state.page), query.get("pageToken", "0")
        digest = hashlib.sha256(repr((query.get("q"), query.get("corpora"), self.account())).encode()).hexdigest()[:12]
        if page != "0" and not page.endswith("." + digest):
            raise error(400, "invalid", "Invalid Value", locationType="parameter", location="pageToken")
        start = int(page.split(".")[0])
        answer = {"kind": "drive#fileList", "incompleteSearch": False, "files": found[start : start + size]}
        if start + size < len(found):
            answer["nextPageToken"] = f"{start + size}.{digest}"
        self.answer(200, mask(query.get("fields"), answer, "kind,incompleteSearch,nextPageToken,files(kind,id,name,mimeType)"))

    def shown(self, identity):
        return mask(self.query.get("fields"), self.state.describe(identity), "kind,id,name,mimeType")

    def create(self):
        metadata = json.loads(self.body() or b"{}")
        with self.state.lock:
            identity = self.make(metadata)
            self.answer(200, self.shown(identity))

    def make(self, metadata):
        parents = [self.resolve(parent) for parent in metadata.get("parents", ["root"])]
        if len(parents) != 1:
            raise error(403, "invalid", "A file must have exactly one parent.")
        folder = self.folder(parents[0])
        kept = {name: metadata[name] for name in ("name", "mimeType", "appProperties") if name in metadata}
        return self.state.add(self.account(), {**kept, "parents": parents}, drive=folder["drive"], app=self.who["client"])

    def one(self, identity):
        if self.command == "GET" and self.query.get("alt") == "media":
            return self.download(identity)
        body = self.body()
        with self.state.lock:
            node = self.node(identity)
            if not node["parents"] and self.who["scope"].endswith("drive.file"):
                # One may look into the root with this scope, and not at it.
                raise not_found(identity)
            if self.command == "DELETE":
                if node["drive"] and self.account() not in MANAGERS:
                    raise error(403, "insufficientFilePermissions", "The user does not have sufficient permissions for this file.")
                self.state.remove(identity)
                return self.answer(204)
            if self.command == "PATCH":
                self.change(node, json.loads(body or b"{}"))
            self.answer(200, self.shown(identity))

    def change(self, node, metadata):
        if not node["parents"]:
            raise error(403, "forbidden", "The root folder cannot be changed.")
        added = [parent for parent in self.query.get("addParents", "").split(",") if parent]
        removed = [parent for parent in self.query.get("removeParents", "").split(",") if parent]
        parents = [parent for parent in node["parents"] if parent not in removed] + added
        if len(parents) != 1:
            raise error(403, "cannotAddParent", "Increasing the number of parents is not allowed")
        for parent in added:
            self.folder(parent)
        node["parents"] = parents
        node["removed"] = metadata.get("trashed", node["removed"])
        for name in ("name", "appProperties"):
            node[name] = metadata.get(name, node.get(name, {}))
        if "name" in metadata:
            node["modified"] = self.state.now()

    def download(self, identity):
        with self.state.lock:
            node = self.node(identity)
            if not node["path"]:
                raise error(403, "fileNotDownloadable", "Only files with binary content can be directly downloaded. Use Export with Docs Editors files.")
            # A link of its own: the file may be replaced or removed while it is read.
            path, size = self.state.new_file(), node["length"]
            os.link(node["path"], path)
        try:
            self.answer_file(path, size, {}, node["mimeType"])
        finally:
            os.unlink(path)

    # Uploads ("Upload file data")

    def upload(self, identity):
        if "upload_id" in self.query:
            return self.session(self.query["upload_id"])
        kind = self.query.get("uploadType")
        if kind == "resumable":
            return self.open(identity)
        if kind == "multipart":
            return self.multipart(identity)
        if kind == "media":
            path, length = self.keep()
            with self.state.lock:
                return self.store({"metadata": {}, "file": identity}, path, length)
        raise error(400, "badRequest", "Bad Request")

    def open(self, identity):
        metadata = json.loads(self.body() or b"{}")
        if (self.command, bool(identity)) not in (("POST", False), ("PATCH", True)):
            raise error(400, "badRequest", "Bad Request")
        with self.state.lock:
            parent = self.resolve(metadata.get("parents", ["root"])[0])
            drive = (self.node(identity) if identity else self.folder(parent))["drive"]
            total = self.headers.get("X-Upload-Content-Length")
            self.room(drive, int(total or 1))
            key, path = self.state.new_id(40), self.state.new_file()
            open(path, "wb").close()
            session = {"metadata": metadata, "file": identity, "path": path, "length": 0, "who": self.who, "drive": drive}
            # Told the total, this one makes the file as soon as it has it.
            self.state.sessions[key] = {**session, "total": int(total) if total else None, "fields": self.query.get("fields"), "all": self.query.get("supportsAllDrives")}
        scheme = "https" if options().certificate else "http"
        location = f"{scheme}://{self.headers['Host']}/upload/drive/v3/files?uploadType=resumable&upload_id={key}"
        self.answer(200, b"", {"Location": location, "X-GUploader-UploadID": key})

    def session(self, key):
        with self.state.lock:
            session = self.state.sessions.get(key)
            if session is None and key in self.state.done:
                # What was lost was only the answer.
                return self.answer(200, self.state.done[key])
            if session is None or session["who"]["account"] != self.account():
                raise error(404, "notFound", "Not Found")
            if self.command == "DELETE":
                del self.state.sessions[key]
                return self.answer(499)
            if session.get("busy"):
                raise error(503, "backendError", "Another request of this session is under way.")
            session["busy"] = True
        try:
            self.piece(key, session)
        finally:
            session["busy"] = False

    def piece(self, key, session):
        length = int(self.headers.get("Content-Length") or 0)
        stated = self.headers.get("Content-Range") or (f"bytes 0-{length - 1}/{length}" if length else "bytes */0")
        ranged = re.fullmatch(r"bytes (?:\*|(\d+)-(\d+))/(\*|\d+)", stated)
        if not ranged:
            raise error(400, "badRequest", "Failed to parse Content-Range header.")
        total = session["total"] if ranged[3] == "*" else int(ranged[3])
        if session["total"] is not None and total != session["total"]:
            raise error(400, "badRequest", "Invalid request.  The total size was another before.")
        if ranged[1] is not None:
            first, end = int(ranged[1]), int(ranged[2]) + 1
            if end - first != length or first != session["length"] or (total is not None and end > total):
                raise error(400, "badRequest", "Invalid request.  The number of bytes uploaded is required to be equal or greater than 262144, except for the final request (it's recommended to be the exact multiple of 262144).")
            self.take(session, whole=total == end)
        elif length:
            raise error(400, "badRequest", "Invalid request.")
        with self.state.lock:
            if total is None or session["length"] != total:
                held = {"Range": f"bytes=0-{session['length'] - 1}"} if session["length"] else {}
                return self.answer(308, b"", held)
            session["total"] = total
            self.query |= {name: value for name, value in (("fields", session["fields"]), ("supportsAllDrives", session["all"])) if value}
            del self.state.sessions[key]
            self.store(session, session["path"], total, key)

    def take(self, session, whole):
        """Only granules are kept, of a piece that was cut and of one that is not the last."""
        with self.state.lock:
            left = self.state.quota[self.account()] - self.state.used(self.account())
        with open(session["path"], "r+b") as file:
            file.seek(session["length"])
            try:
                for piece in self.pieces():
                    file.write(piece)
                    if session["drive"] is None and file.tell() > left:
                        raise full()
                kept = file.tell() if whole else file.tell() // GRANULE * GRANULE
                session["length"] = kept
            except ConnectionError:
                session["length"] = file.tell() // GRANULE * GRANULE
                raise
            finally:
                file.truncate(session["length"])

    def store(self, session, path, length, key=None):
        digest = hashlib.md5()
        with open(path, "rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
        identity = session["file"]
        if identity:
            node = self.node(identity)
        else:
            identity = self.make(session["metadata"])
            node = self.state.nodes[identity]
        try:
            self.room(node["drive"], length - node["length"])
        except Refusal:
            if not session["file"]:
                del self.state.nodes[identity]
            raise
        old = node["path"]
        node |= {"path": path, "length": length, "md5": digest.hexdigest(), "modified": self.state.now()}
        if old:
            os.unlink(old)
        shown = self.shown(identity)
        if key:
            self.state.done[key] = shown
        self.answer(200, shown)

    def keep(self):
        path, length = self.state.new_file(), 0
        with open(path, "wb") as file:
            for piece in self.pieces():
                file.write(piece)
                length += len(piece)
        return path, length

    def multipart(self, identity):
        boundary = re.search(r'boundary="?([^";]+)', self.headers["Content-Type"])[1].encode()
        parts = self.body(8 << 20).split(b"--" + boundary)[1:3]
        metadata, content = (re.split(rb"\r?\n\r?\n", part, maxsplit=1)[1] for part in parts)
        content = content[:-2] if content.endswith(b"\r\n") else content[:-1]
        path = self.state.new_file()
        with open(path, "wb") as file:
            file.write(content)
        with self.state.lock:
            self.store({"metadata": json.loads(metadata), "file": identity}, path, len(content))


if __name__ == "__main__":
    directory = options().directory
    shutil.rmtree(os.path.join(directory, "bodies"), ignore_errors=True)
    serve(Drive(directory), DriveHandler)
