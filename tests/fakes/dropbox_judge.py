"""Dropbox's own Python client before the fake of Dropbox: what it expects of the service, the fake must do. Usage: ORIGIN CA ORDERS"""

import json
import os
import sys
import urllib.request

ORIGIN, AUTHORITY, ORDERS = sys.argv[1:]
HOST = ORIGIN.removeprefix("https://")
# Read when the client is imported; the second beats the client's own setting.
os.environ.update({f"DROPBOX_{name}_HOST": HOST for name in ("API", "API_CONTENT", "API_NOTIFY")}, REQUESTS_CA_BUNDLE=AUTHORITY)

import dropbox  # noqa: E402
from dropbox import common, exceptions, files  # noqa: E402


def order(**what):
    request = urllib.request.Request(ORDERS, json.dumps(what).encode(), method="POST")
    return json.load(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request))


def content_hash(data):
    import hashlib

    return hashlib.sha256(b"".join(hashlib.sha256(data[at : at + (4 << 20)]).digest() for at in range(0, len(data), 4 << 20))).hexdigest()


def account(token, key="APP", secret="ASEC", kind=dropbox.Dropbox, **more):
    return kind(oauth2_refresh_token=token, app_key=key, app_secret=secret, ca_certs=AUTHORITY, max_retries_on_error=0, **more)


def fails(what, kind, check):
    try:
        what()
    except kind as error:
        assert check(error), error
    else:
        raise AssertionError(f"{kind.__name__} was expected")


def session(box, data, path, piece=4 << 20):
    """A large upload in pieces, each with its own digest, and the error that tells the right offset."""
    started = box.files_upload_session_start(data[:piece], content_hash=content_hash(data[:piece]))
    cursor = files.UploadSessionCursor(started.session_id, piece)
    fails(
        lambda: box.files_upload_session_append_v2(b"zz", files.UploadSessionCursor(started.session_id, 5)),
        exceptions.ApiError,
        lambda e: e.error.is_incorrect_offset() and e.error.get_incorrect_offset().correct_offset == piece,
    )
    box.files_upload_session_append_v2(b"", cursor)
    fails(
        lambda: box.files_upload_session_append_v2(data[piece:], cursor, content_hash="0" * 64),
        exceptions.ApiError,
        lambda e: e.error.is_content_hash_mismatch(),
    )
    box.files_upload_session_append_v2(data[piece : 2 * piece], cursor)
    fails(
        lambda: box.files_upload_session_finish(b"", cursor, files.CommitInfo(path)),
        exceptions.ApiError,
        lambda e: e.error.get_lookup_failed().get_incorrect_offset().correct_offset == 2 * piece,
    )
    cursor.offset = 2 * piece
    done = box.files_upload_session_finish(data[2 * piece :], cursor, files.CommitInfo(path, mode=files.WriteMode.overwrite, mute=True))
    assert (done.size, done.content_hash) == (len(data), content_hash(data)), done
    fails(lambda: box.files_upload_session_append_v2(b"", cursor), exceptions.ApiError, lambda e: e.error.is_not_found())
    closed = box.files_upload_session_start(b"x", close=True)
    fails(
        lambda: box.files_upload_session_append_v2(b"y", files.UploadSessionCursor(closed.session_id, 1)),
        exceptions.ApiError,
        lambda e: e.error.is_closed(),
    )


def through_a_day(box):
    data = os.urandom((9 << 20) + 7)
    for name, content in (("vazio", b""), ("ü ação's \"x\"", b"hello"), ("e\u0301", b"nfd")):
        done = box.files_upload(content, f"/bk/Set/{name}", content_hash=content_hash(content))
        assert (done.name, done.size, done.content_hash) == (name, len(content), content_hash(content)), done
    fails(lambda: box.files_upload(b"x", "/bk/set/VAZIO"), exceptions.ApiError, lambda e: e.error.get_path().reason.is_conflict())
    fails(
        lambda: box.files_upload(b"x", "/bk/x", content_hash="0" * 64), exceptions.ApiError, lambda e: e.error.is_content_hash_mismatch()
    )
    session(box, data, "/bk/set/big")
    found, answer = box.files_download("/BK/Set/Big")
    assert answer.content == data and found.path_display == "/bk/Set/big", found
    assert box.files_download(f"rev:{found.rev}")[1].content == data
    # Names are compared without regard to case, and folders are written as they were first.
    listed, names, pages = box.files_list_folder("/bk", recursive=True, limit=2), [], 1
    names += [entry.path_display for entry in listed.entries]
    while listed.has_more:
        listed, pages = box.files_list_folder_continue(listed.cursor), pages + 1
        names += [entry.path_display for entry in listed.entries]
    assert names[:2] == ["/bk", "/bk/Set"] and len(names) == 6 and pages == 3, names
    fails(lambda: box.files_list_folder("/nothing"), exceptions.ApiError, lambda e: e.error.get_path().is_not_found())
    fails(lambda: box.files_list_folder_continue("AAx"), exceptions.ApiError, lambda e: e.error.is_reset())
    link = box.files_get_temporary_link("/bk/set/big")
    assert link.link.startswith(f"https://{HOST}/") and link.metadata.size == len(data)
    used = box.users_get_space_usage().used
    assert box.files_delete_v2("/bk/set/big", parent_rev=found.rev).metadata.name == "big"
    assert used - box.users_get_space_usage().used == len(data)
    fails(lambda: box.files_get_metadata("/bk/set/big"), exceptions.ApiError, lambda e: e.error.get_path().is_not_found())
    fails(lambda: box.files_delete_v2("/bk/set/big"), exceptions.ApiError, lambda e: e.error.get_path_lookup().is_not_found())
    for path in ("/bk/a\\b", "/bk/space "):
        fails(lambda: box.files_upload(b"x", path), exceptions.ApiError, lambda e: e.error.get_path().reason.is_malformed_path())


def main():
    through_a_day(account("RT"))
    print("an account: whole day")
    box = account("RT")
    info = box.users_get_current_account().root_info
    team = box.with_path_root(common.PathRoot.namespace_id(info.root_namespace_id))
    through_a_day(team)
    through_a_day(account("RT-FOLDER", "FOLDER", "FSEC"))
    fails(
        lambda: box.with_path_root(common.PathRoot.namespace_id("9")).files_list_folder(""),
        exceptions.PathRootError,
        lambda e: e.error.is_no_permission(),
    )
    whole = account("RT-TEAM", kind=dropbox.DropboxTeam)
    assert whole.as_user("dbmid:ana").files_get_metadata("/bk").name == "bk"
    print("a team space, an app folder, a member of a team")

    for token, key, secret in (("REVOKED", "APP", "ASEC"), ("RT", "FOLDER", "FSEC"), ("RT", "APP", "wrong")):
        fails(lambda: account(token, key, secret).users_get_space_usage(), Exception, lambda e: "invalid" in str(e) or isinstance(e, exceptions.AuthError))
    fails(
        lambda: account("RT-READ").files_upload(b"x", "/x"),
        exceptions.AuthError,
        lambda e: e.error.is_missing_scope() and e.error.get_missing_scope().required_scope == "files.content.write",
    )
    fails(lambda: account("RT-FULL").files_upload(b"x", "/x"), exceptions.ApiError, lambda e: e.error.get_path().reason.is_insufficient_space())
    print("refusals: as the client knows them")

    patient = dropbox.Dropbox(oauth2_refresh_token="RT", app_key="APP", app_secret="ASEC", ca_certs=AUTHORITY)
    order(fail={"match": "files/upload", "status": 429, "reason": "too_many_write_operations", "retry_after": 1})
    order(fail={"match": "files/upload", "status": 503, "after": True})
    assert patient.files_upload(b"y", "/y", mode=files.WriteMode.overwrite).size == 1
    order(expire=True)
    assert patient.files_get_metadata("/y").size == 1
    print("faults: repeated, and a new access token after an expired one")


main()
