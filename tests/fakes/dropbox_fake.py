"""A fake of Dropbox's API v2: as strict as the documents, and where they are silent as hostile as they permit.

Accounts: `ana`, a user of a team, with her own space (namespace 1001) and the team's (2002, in which folder 3003 is mounted); `cheio`, whose
space is used up. Apps: `APP` sees all, `FOLDER` only its own folder. Held to the truth by Dropbox's own Python client.
"""

import hashlib
import json
import os
import re
import time

from service import Handler, Refusal, State, options, serve

MIB4 = 4 << 20
LARGEST_REQUEST = 150 << 20
SCOPES = {"account_info.read", "files.metadata.read", "files.content.read", "files.content.write"}
READING = SCOPES - {"files.content.write"}
# Arguments of each route and the scope that it needs; a field that is not named here is a mistake of the caller.
ROUTES = {
    "files/upload": ("files.content.write", "path mode autorename client_modified mute property_groups strict_conflict content_hash"),
    "files/upload_session/start": ("files.content.write", "close session_type content_hash"),
    "files/upload_session/append_v2": ("files.content.write", "cursor close content_hash"),
    "files/upload_session/finish": ("files.content.write", "cursor commit content_hash"),
    "files/download": ("files.content.read", "path rev"),
    "files/get_metadata": ("files.metadata.read", "path include_media_info include_deleted include_has_explicit_shared_members include_property_groups"),
    "files/delete_v2": ("files.content.write", "path parent_rev"),
    "files/create_folder_v2": ("files.content.write", "path autorename"),
    "files/list_folder": ("files.metadata.read", "path recursive include_media_info include_deleted include_has_explicit_shared_members include_mounted_folders limit shared_link include_property_groups include_non_downloadable_files include_restorable_info"),
    "files/list_folder/continue": ("files.metadata.read", "cursor"),
    "files/get_temporary_link": ("files.content.read", "path"),
    "users/get_space_usage": ("account_info.read", None),
    "users/get_current_account": ("account_info.read", None),
}
CONTENT = {"files/upload", "files/upload_session/start", "files/upload_session/append_v2", "files/upload_session/finish", "files/download"}


def failure(summary, error, status=409, headers=None):
    return Refusal(status, {"error_summary": summary + "/" + "." * (time.time_ns() % 3), "error": error}, headers)


def malformed(route, why):
    return Refusal(400, f'Error in call to API function "{route}": {why}'.encode(), content_type="text/plain; charset=utf-8")


def nested(tags, **more):
    """`a/b/c` as the nested union that it stands for."""
    first, _, rest = tags.partition("/")
    return {".tag": first, **({first: nested(rest, **more)} if rest else more)}


def lookup(tags, **more):
    return failure(tags, nested(tags, **more))


class Dropbox(State):
    def __init__(self, directory):
        super().__init__(directory)
        # Nodes of each namespace by their path in lower case; the path of a folder is how it was first written.
        self.spaces = {"1001": {}, "2002": {}, "3003": {}, "4004": {}, "5005": {}}
        self.cursors, self.links, self.changes = {}, {}, 0
        self.quota = {"ana": 100 << 30, "cheio": 0}
        self.clients = {"APP": "ASEC", "FOLDER": "FSEC"}
        whole = {"client": "APP", "scope": SCOPES, "account": "ana", "home": "1001", "may": {"1001", "2002", "3003"}}
        self.refresh = {
            "RT": whole,
            "RT-READ": {**whole, "scope": READING},
            "RT-FOLDER": {**whole, "client": "FOLDER", "home": "5005", "may": {"5005"}},
            "RT-FULL": {**whole, "account": "cheio", "home": "4004", "may": {"4004"}},
            "RT-TEAM": {**whole, "team": "dbmid:ana"},
        }

    def report(self):
        paths = {space: sorted(node["path"] for node in nodes.values()) for space, nodes in self.spaces.items()}
        return {"paths": paths, "sessions": sum(not session["closed"] for session in self.sessions.values())}

    def used(self, account):
        spaces = ["4004"] if account == "cheio" else [space for space in self.spaces if space != "4004"]
        return sum(node.get("length", 0) for space in spaces for node in self.spaces[space].values())


def describe(node, tag=True):
    seen = {".tag": node["kind"]} if tag else {}
    seen |= {"name": node["path"].rsplit("/", 1)[1], "path_lower": node["path"].lower(), "path_display": node["path"], "id": node["id"]}
    if node["kind"] == "file":
        seen |= {"client_modified": node["modified"], "server_modified": node["modified"], "rev": node["rev"], "size": node["length"]}
        seen |= {"is_downloadable": True, "content_hash": node["hash"]}
    return seen


class DropboxHandler(Handler):
    def failure(self, status, reason, headers):
        if status == 429:
            wait = int(headers.get("Retry-After", 1))
            return failure(reason or "too_many_requests", {"reason": {".tag": reason or "too_many_requests"}, "retry_after": wait}, 429, headers)
        if status >= 500:
            return Refusal(status, b"Internal Server Error", headers, "text/plain")
        return failure(reason, nested(reason or "other"), status, headers)

    def serve(self):
        if self.route == "/oauth2/token" and self.command == "POST":
            return self.answer(200, self.token(self.form()))
        if self.route == "/oauth2/authorize":
            return self.authorize()
        if self.route.startswith("/link/"):
            return self.follow()
        route = self.route.removeprefix("/2/")
        if self.command != "POST" or route not in ROUTES:
            raise Refusal(404, b"Unknown route", content_type="text/plain")
        scope, fields = ROUTES[route]
        self.name = route
        self.who = self.authorised(route, scope)
        self.space = self.root(route)
        argument = self.argument(route, fields)
        getattr(self, route.replace("/", "_"))(argument)

    # OAuth

    def token(self, form):
        state = self.state
        with state.lock:
            client = state.check_client(form, self.headers.get("Authorization"), secret_optional=True)
            if form.get("grant_type") == "refresh_token":
                account = state.from_refresh_token(form, client)
                return {"access_token": state.grant(account), "expires_in": 14400, "token_type": "bearer"}
            if form.get("grant_type") == "authorization_code":
                code = state.from_code(form, client)
                token = state.new_id(64)
                state.refresh[token] = {**state.refresh["RT"], "client": client}
                answer = {"access_token": state.grant(state.refresh[token]), "expires_in": 14400, "token_type": "bearer", "account_id": "dbid:ana"}
                return answer | ({"refresh_token": token} if code["account"] == "offline" else {})
        raise Refusal(400, {"error": "unsupported_grant_type", "error_description": "grant_type"})

    def authorize(self):
        """The user agrees at once; without a redirect the page shows the code."""
        with self.state.lock:
            code = self.state.new_code(self.query, self.query.get("token_access_type", "online"))
        self.answer(200, f"<html><body>Enter this code: <code>{code}</code></body></html>".encode(), content_type="text/html")

    def authorised(self, route, scope):
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        with self.state.lock:
            who = self.state.access.get(bearer)
        if not who or who["until"] < time.time():
            tag = "expired_access_token" if who or bearer.startswith("at-") else "invalid_access_token"
            raise failure(tag, {".tag": tag}, 401)
        if scope not in who["scope"]:
            raise failure("missing_scope", {".tag": "missing_scope", "required_scope": scope}, 401)
        member = self.headers.get("Dropbox-API-Select-User")
        if who.get("team") and member is None:
            raise malformed(route, 'This API function operates on a single Dropbox account, but the OAuth 2 access token you provided is for an entire Dropbox Business team.')
        if member is not None and member != who.get("team"):
            raise failure("invalid_select_user", {".tag": "invalid_select_user"}, 401)
        return who

    def root(self, route):
        text = self.headers.get("Dropbox-API-Path-Root")
        if text is None:
            return self.who["home"]
        try:
            root = json.loads(text)
        except ValueError as problem:
            raise malformed(route, "HTTP header Dropbox-API-Path-Root: could not decode input as JSON") from problem
        space = {"home": self.who["home"], "root": "2002"}.get(root.get(".tag")) or root.get("namespace_id")
        if space not in self.who["may"]:
            raise failure("no_permission", {".tag": "no_permission"}, 422)
        return space

    # Arguments

    def argument(self, route, fields):
        kind = self.headers.get("Content-Type", "")
        if route in CONTENT:
            text = self.headers.get("Dropbox-API-Arg") or self.query.get("arg")
            if text is None:
                raise malformed(route, "Must provide HTTP header \"Dropbox-API-Arg\" or URL parameter \"arg\".")
            if not all(" " <= letter <= "~" for letter in text):
                # Some clients send UTF-8, which a proxy may change; this one takes ASCII only, as the documents ask.
                raise malformed(route, "HTTP header Dropbox-API-Arg: could not decode input as JSON")
            wanted = {"", "text/plain", "text/plain; charset=utf-8", "application/octet-stream"}
            if kind.lower() not in wanted and not (route != "files/download" and kind == "application/octet-stream"):
                raise malformed(route, f"Bad HTTP \"Content-Type\" header: {kind!r}. Expecting one of \"application/octet-stream\", \"text/plain; charset=dropbox-cors-hack\".")
        else:
            if kind.split(";")[0] != "application/json" and not (fields is None and not kind):
                raise malformed(route, f"Bad HTTP \"Content-Type\" header: {kind!r}. Expecting one of \"application/json\".")
            text = self.body().decode()
        try:
            argument = json.loads(text or "null")
        except ValueError as problem:
            raise malformed(route, "request body: could not decode input as JSON") from problem
        if (fields is None) != (argument is None):
            raise malformed(route, "request body: expected null, got value" if fields is None else "request body: expected object, got null")
        if fields is not None:
            self.known(route, argument, fields.split())
        return argument

    def known(self, route, argument, fields):
        for field in argument:
            if field not in fields:
                raise malformed(route, f"request body: unknown field '{field}'")
        for inner, allowed in (("cursor", ["session_id", "offset"]), ("commit", ROUTES["files/upload"][1].split()[:-1])):
            if isinstance(argument.get(inner), dict):
                for field in argument[inner]:
                    if field not in allowed:
                        raise malformed(route, f"request body: {inner}: unknown field '{field}'")

    def place(self, text, root=False):
        """The place of a path; refuses what no path may be, and what no name may be."""
        if not isinstance(text, str) or not re.fullmatch(r"(/(.|[\r\n])*)?|id:.*|rev:[0-9a-f]{9,}|ns:[0-9]+(/.*)?", text) or (text == "/"):
            raise malformed(self.name, f"request body: path: '{text}' did not match pattern '(/(.|[\\r\\n])*)?|id:.*|(ns:[0-9]+(/.*)?)'")
        if text == "" and not root:
            raise malformed(self.name, "request body: path: The root folder is unsupported.")
        return text

    def nodes(self):
        return self.state.spaces[self.space]

    def find(self, text):
        nodes = self.nodes()
        if text.startswith("id:"):
            return next((node for node in nodes.values() if node["id"] == text), None)
        if text.startswith("rev:"):
            return next((node for node in nodes.values() if node.get("rev") == text[4:]), None)
        return nodes.get(text.lower())

    # Writing

    def check_name(self, path, wrap):
        for part in path.split("/")[1:]:
            if part in ("", ".", "..") or re.search("[\\\\\x00-\x1f\x7f]", part) or part.endswith(" ") or len(part) > 255:
                raise wrap("malformed_path")
            if part.lower() in (".dropbox", ".dropbox.attr", "desktop.ini", "thumbs.db") or part.startswith("~$"):
                raise wrap("disallowed_name")

    def make_folders(self, path, wrap):
        """The folders above a path, made where they are missing; returns the last as it is written."""
        written = ""
        for part in path.split("/")[1:-1]:
            written = f"{written}/{part}"
            node = self.nodes().setdefault(written.lower(), {"kind": "folder", "path": written, "id": "id:" + self.state.new_id(22)})
            if node["kind"] != "folder":
                raise wrap("conflict/file_ancestor")
            written = node["path"]
        return written

    def commit(self, commit, body, length, wrap):
        path, mode = self.place(commit.get("path")), commit.get("mode", "add")
        mode = mode if isinstance(mode, str) else mode[".tag"]
        self.check_name(path, wrap)
        old = self.nodes().get(path.lower())
        if old and (old["kind"] == "folder" or mode == "add"):
            raise wrap("conflict/folder" if old["kind"] == "folder" else "conflict/file")
        if self.state.used(self.who["account"]) + length - (old or {}).get("length", 0) > self.state.quota[self.who["account"]] or not self.state.quota[self.who["account"]]:
            raise wrap("insufficient_space")
        written = self.make_folders(path, wrap)
        self.state.changes += 1
        node = {"kind": "file", "path": f"{written}/{path.rsplit('/', 1)[1]}", "id": (old or {}).get("id") or "id:" + self.state.new_id(22)}
        node |= {"body": body, "length": length, "hash": content_hash(body), "rev": f"{self.state.changes + (1 << 60):x}"}
        node["modified"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.nodes()[path.lower()] = node
        if old:
            os.unlink(old["body"])
        return node

    def keep(self, path, offset=0):
        """Takes a body behind what is in a file already; one that is cut leaves nothing."""
        length = offset
        with open(path, "r+b" if os.path.exists(path) else "w+b") as file:
            file.seek(offset)
            try:
                for piece in self.pieces():
                    file.write(piece)
                    length += len(piece)
                    if length - offset > LARGEST_REQUEST:
                        raise lookup("payload_too_large")
            except (ConnectionError, Refusal):
                file.truncate(offset)
                raise
        return length

    def check_hash(self, argument, path, offset, summary):
        """The digest of what came with this call, where the caller gives one."""
        stated = argument.get("content_hash")
        if stated is not None and not re.fullmatch("[0-9a-f]{64}", stated):
            raise malformed(self.name, "request body: content_hash: does not match pattern")
        if stated is not None and stated != content_hash(path, offset):
            with open(path, "r+b") as file:
                file.truncate(offset)
            raise lookup(summary)

    def files_upload(self, argument):
        path = self.state.new_file()
        length = self.keep(path)
        self.check_hash(argument, path, 0, "content_hash_mismatch")

        def wrap(tags):
            return failure("path/" + tags, {".tag": "path", "reason": nested(tags), "upload_session_id": ""})

        with self.state.lock:
            node = self.commit(argument, path, length, wrap)
            self.answer(200, describe(node, tag=False))

    def files_upload_session_start(self, argument):
        path = self.state.new_file()
        length = self.keep(path)
        self.check_hash(argument, path, 0, "content_hash_mismatch")
        identity = "pid_upload_session:" + self.state.new_id(60)
        with self.state.lock:
            self.state.sessions[identity] = {"path": path, "length": length, "closed": bool(argument.get("close")), "client": self.who["client"]}
        self.answer(200, {"session_id": identity})

    def session(self, argument, wrap):
        cursor = argument["cursor"]
        session = self.state.sessions.get(cursor["session_id"])
        if session is None or session["client"] != self.who["client"]:
            raise wrap("not_found")
        if cursor["offset"] != session["length"]:
            raise wrap("incorrect_offset", correct_offset=session["length"])
        return session

    def files_upload_session_append_v2(self, argument):
        with self.state.lock:
            session = self.session(argument, lookup)
            if session["closed"]:
                raise lookup("closed")
            if session.get("busy"):
                raise failure("too_many_write_operations", {"reason": {".tag": "too_many_write_operations"}, "retry_after": 1}, 429, {"Retry-After": "1"})
            session["busy"] = True
        try:
            length = self.keep(session["path"], session["length"])
            self.check_hash(argument, session["path"], session["length"], "content_hash_mismatch")
            session["length"], session["closed"] = length, bool(argument.get("close"))
        finally:
            session["busy"] = False
        self.answer(200, b"null")

    def files_upload_session_finish(self, argument):
        def wrap_session(tags, **more):
            return lookup("lookup_failed/" + tags, **more)

        with self.state.lock:
            session = self.session(argument, wrap_session)
        offset = session["length"]
        length = self.keep(session["path"], offset)
        self.check_hash(argument, session["path"], offset, "content_hash_mismatch")
        session["length"] = length
        with self.state.lock:
            node = self.commit(argument["commit"], session["path"], length, lambda tags: lookup("path/" + tags))
            del self.state.sessions[argument["cursor"]["session_id"]]
            self.answer(200, describe(node, tag=False))

    def files_create_folder_v2(self, argument):
        path = self.place(argument["path"])
        with self.state.lock:
            self.check_name(path, lambda tags: lookup("path/" + tags))
            if self.find(path):
                raise lookup("path/conflict/" + self.find(path)["kind"])
            self.make_folders(path + "/x", lambda tags: lookup("path/" + tags))
            self.answer(200, {"metadata": describe(self.find(path), tag=False)})

    def files_delete_v2(self, argument):
        path = self.place(argument["path"])
        with self.state.lock:
            node = self.find(path)
            if node is None:
                raise lookup("path_lookup/not_found")
            if argument.get("parent_rev") not in (None, node.get("rev")):
                raise lookup("path_write/conflict/file")
            below = node["path"].lower() + "/"
            for found in [found for found in self.nodes() if found == below[:-1] or found.startswith(below)]:
                gone = self.nodes().pop(found)
                if gone["kind"] == "file":
                    os.unlink(gone["body"])
            self.answer(200, {"metadata": describe(node)})

    # Reading

    def file(self, text):
        node = self.find(self.place(text))
        if node is None:
            raise lookup("path/not_found")
        return node

    def files_download(self, argument):
        with self.state.lock:
            node = self.file(argument["path"])
            if node["kind"] != "file":
                raise lookup("path/not_file")
            # A link of its own: the file may be replaced or removed while it is read.
            path, size = self.state.new_file(), node["length"]
            os.link(node["body"], path)
        try:
            self.answer_file(path, size, {"Dropbox-API-Result": json.dumps(describe(node, tag=False))})
        finally:
            os.unlink(path)

    def files_get_metadata(self, argument):
        with self.state.lock:
            self.answer(200, describe(self.file(argument["path"])))

    def files_list_folder(self, argument):
        path = self.place(argument["path"], root=True)
        with self.state.lock:
            node = self.find(path) if path else {"kind": "folder", "path": ""}
            if node is None or node["kind"] != "folder":
                raise lookup("path/not_found" if node is None else "path/not_folder")
            below, recursive = node["path"].lower() + "/", argument.get("recursive", False)
            fits = [found for found in self.nodes() if found.startswith(below) and (recursive or "/" not in found[len(below) :])]
            # A recursive listing begins with the folder itself.
            found = ([node] if recursive and path else []) + [self.nodes()[name] for name in sorted(fits)]
            self.page([describe(node) for node in found], argument.get("limit") or 2000)

    def files_list_folder_continue(self, argument):
        with self.state.lock:
            if argument["cursor"] not in self.state.cursors:
                raise lookup("reset")
            self.page(*self.state.cursors[argument["cursor"]])

    def page(self, entries, limit):
        if not 1 <= limit <= 2000:
            raise malformed(self.name, f"request body: limit: {limit} is not within range [1, 2000]")
        limit = min(limit, self.state.page)
        cursor = "AA" + self.state.new_id(60)
        self.state.cursors[cursor] = (entries[limit:], limit)
        self.answer(200, {"entries": entries[:limit], "cursor": cursor, "has_more": len(entries) > limit})

    def files_get_temporary_link(self, argument):
        with self.state.lock:
            node = self.file(argument["path"])
            key = self.state.new_id(32)
            self.state.links[key] = (node, time.time() + 4 * 3600)
            scheme = "https" if options().certificate else "http"
            self.answer(200, {"metadata": describe(node, tag=False), "link": f"{scheme}://{self.headers['Host']}/link/{key}"})

    def follow(self):
        node, until = self.state.links.get(self.route.removeprefix("/link/"), (None, 0))
        if until < time.time():
            raise Refusal(404, b"gone", content_type="text/plain")
        self.answer_file(node["body"], node["length"], {})

    def users_get_space_usage(self, _):
        with self.state.lock:
            account = self.who["account"]
            self.answer(200, {"used": self.state.used(account), "allocation": {".tag": "individual", "allocated": self.state.quota[account]}})

    def users_get_current_account(self, _):
        info = {".tag": "team", "root_namespace_id": "2002", "home_namespace_id": self.who["home"], "home_path": "/ana"}
        name = {"given_name": "Ana", "surname": "S", "familiar_name": "Ana", "display_name": "Ana S", "abbreviated_name": "AS"}
        account = {"account_id": "dbid:" + "A" * 35, "name": name, "email": "ana@empresa.example", "email_verified": True, "disabled": False}
        account |= {"locale": "pt-BR", "referral_link": "https://db.tt/x", "is_paired": False, "account_type": {".tag": "business"}, "root_info": info}
        self.answer(200, account)


def content_hash(path, offset=0):
    """ "Content hash": SHA-256 over the SHA-256 of each block of 4 MiB."""
    digests = hashlib.sha256()
    with open(path, "rb") as file:
        file.seek(offset)
        while block := file.read(MIB4):
            digests.update(hashlib.sha256(block).digest())
    return digests.hexdigest()


if __name__ == "__main__":
    serve(Dropbox(options().directory), DropboxHandler)
