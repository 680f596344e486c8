"""Google's own Python client before the fake of Drive: what it expects of the service, the fake must do. Usage: ORIGIN CA ORDERS KEYS"""

import hashlib
import io
import json
import os
import sys
import urllib.request

import google.auth.exceptions
import google_auth_httplib2
import googleapiclient
import httplib2
from google.oauth2 import credentials, service_account
from googleapiclient.discovery import build_from_document
from googleapiclient.errors import HttpError
from googleapiclient.http import MediaIoBaseDownload, MediaIoBaseUpload

ORIGIN, AUTHORITY, ORDERS, KEYS = sys.argv[1:]
DRIVE = "https://www.googleapis.com/auth/drive"


def order(**what):
    request = urllib.request.Request(ORDERS, json.dumps(what).encode(), method="POST")
    return json.load(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request))


def client(account):
    http = httplib2.Http(ca_certs=AUTHORITY)
    # 308 means "go on" here, and httplib2 would follow it.
    http.redirect_codes = http.redirect_codes - {308}
    with open(os.path.join(os.path.dirname(googleapiclient.__file__), "discovery_cache/documents/drive.v3.json")) as file:
        document = json.load(file)
    document |= {"rootUrl": ORIGIN + "/", "baseUrl": ORIGIN + "/drive/v3/"}
    document.pop("mtlsRootUrl", None)
    return build_from_document(document, http=google_auth_httplib2.AuthorizedHttp(account, http=http))


def user(token, secret="CSEC"):
    return credentials.Credentials(None, refresh_token=token, token_uri=ORIGIN + "/token", client_id="CID", client_secret=secret)


def robot(name, **more):
    with open(os.path.join(KEYS, name)) as file:
        info = json.load(file) | {"token_uri": ORIGIN + "/token"}
    return service_account.Credentials.from_service_account_info(info, scopes=[DRIVE], **more)


def upload(drive, metadata, data, faults=0, **more):
    media = MediaIoBaseUpload(io.BytesIO(data), "application/octet-stream", chunksize=262144, resumable=True)
    request, done = drive.files().create(body=metadata, media_body=media, fields="id,name,size,md5Checksum,parents,trashed", **more), None
    while done is None:
        try:
            _, done = request.next_chunk()
        except HttpError:
            # Called again, it asks the service where it is.
            if faults == 0:
                raise
            faults -= 1
    assert done["md5Checksum"] == hashlib.md5(data).hexdigest() and done["size"] == str(len(data)), done
    return done


def fails(what, status, reason):
    try:
        what()
    except HttpError as error:
        found = json.loads(error.content)["error"]["errors"][0]["reason"]
        assert (error.status_code, found) == (status, reason), (error.status_code, found)
    else:
        raise AssertionError(f"{reason} was expected")


def refused(account):
    try:
        client(account).files().list().execute()
    except google.auth.exceptions.RefreshError as error:
        assert "invalid" in str(error) or "unauthorized" in str(error), error
    else:
        raise AssertionError("the credentials were taken")


def through_a_day(drive, where, everywhere):
    """Folders, resumable uploads of every kind of size, ranges, pages, replacing, moving, the trash, removing."""
    folder = drive.files().create(body={"name": "pasta", "mimeType": "application/vnd.google-apps.folder", **where}, fields="id", **everywhere).execute()
    files = {}
    for size in (0, 1, 262144, 262145, 700000):
        data = os.urandom(size)
        files[size] = upload(drive, {"name": f"it's {size}.bin", "parents": [folder["id"]]}, data, **everywhere)
    identity = files[700000]["id"]
    loaded = io.BytesIO()
    download, done = MediaIoBaseDownload(loaded, drive.files().get_media(fileId=identity, **everywhere), chunksize=300000), False
    while not done:
        _, done = download.next_chunk()
    assert loaded.getvalue() == data
    request = drive.files().get_media(fileId=identity, **everywhere)
    request.headers["Range"] = "bytes=10-19"
    assert request.execute() == data[10:20]
    request = drive.files().get_media(fileId=files[0]["id"], **everywhere)
    request.headers["Range"] = "bytes=0-"
    try:
        request.execute()
        raise AssertionError("an empty file has no range")
    except HttpError as error:
        assert error.status_code == 416
    listing = {"includeItemsFromAllDrives": True, **everywhere} if everywhere else {}
    request, names = drive.files().list(q=f"'{folder['id']}' in parents and trashed = false", pageSize=2, fields="nextPageToken,files(id,name,md5Checksum)", **listing), []
    pages = 0
    while request is not None:
        page = request.execute()
        names, pages = names + [file["name"] for file in page["files"]], pages + 1
        request = drive.files().list_next(request, page)
    assert (len(names), pages) == (5, 3), (names, pages)
    found = drive.files().list(q=f"name = 'IT\\'S 1.BIN' and '{folder['id']}' in parents and mimeType != 'x' and not trashed = true", **listing).execute()
    assert [file["name"] for file in found["files"]] == ["it's 1.bin"] and set(found["files"][0]) == {"kind", "id", "name", "mimeType"}, found
    # Two files of one name lie side by side; new content keeps the identifier.
    twin = upload(drive, {"name": "it's 1.bin", "parents": [folder["id"]]}, b"twin", **everywhere)
    media = MediaIoBaseUpload(io.BytesIO(b"new content"), "application/octet-stream", resumable=True)
    new = drive.files().update(fileId=twin["id"], media_body=media, fields="id,md5Checksum", **everywhere).execute()
    assert new == {"id": twin["id"], "md5Checksum": hashlib.md5(b"new content").hexdigest()}, new
    other = drive.files().create(body={"name": "outra", "mimeType": "application/vnd.google-apps.folder", **where}, fields="id", **everywhere).execute()
    moved = drive.files().update(fileId=twin["id"], addParents=other["id"], removeParents=folder["id"], fields="parents", **everywhere).execute()
    assert moved == {"parents": [other["id"]]}, moved
    drive.files().update(fileId=other["id"], body={"trashed": True}, **everywhere).execute()
    assert drive.files().get(fileId=twin["id"], fields="trashed,explicitlyTrashed", **everywhere).execute() == {"trashed": True, "explicitlyTrashed": False}
    return identity


def main():
    drive = client(user("RT"))
    identity = through_a_day(drive, {}, {})
    before = int(drive.about().get(fields="storageQuota").execute()["storageQuota"]["usage"])
    drive.files().delete(fileId=identity).execute()
    assert before - int(drive.about().get(fields="storageQuota").execute()["storageQuota"]["usage"]) == 700000
    fails(lambda: drive.files().get(fileId=identity).execute(), 404, "notFound")
    print("a user: whole day")

    shared = {"supportsAllDrives": True}
    machine = client(robot("robot.json"))
    identity = through_a_day(machine, {"parents": ["0AShared-Drive_x"]}, shared)
    fails(lambda: machine.files().get(fileId=identity).execute(), 404, "notFound")
    fails(lambda: machine.files().delete(fileId=identity, **shared).execute(), 403, "insufficientFilePermissions")
    machine.files().update(fileId=identity, body={"trashed": True}, **shared).execute()
    fails(lambda: upload(machine, {"name": "own"}, b"x"), 403, "storageQuotaExceeded")
    found = machine.files().list(corpora="drive", driveId="0AShared-Drive_x", includeItemsFromAllDrives=True, **shared).execute()
    assert found["files"] and not machine.files().list().execute()["files"]
    acting = client(robot("robot.json", subject="ana@empresa.example"))
    assert acting.files().list(q="name = 'pasta'").execute()["files"]
    print("a service account: shared drive, delegation")

    refused(user("REVOKED"))
    refused(user("RT", "wrong"))
    refused(robot("stranger.json"))
    refused(robot("robot.json", subject="other@empresa.example"))
    fails(lambda: upload(client(user("RT-READ")), {"name": "x"}, b"x"), 403, "insufficientPermissions")
    fails(lambda: upload(client(user("RT-FULL")), {"name": "x"}, b"x"), 403, "storageQuotaExceeded")
    mine = client(user("RT-FILE"))
    assert not mine.files().list(q="name = 'pasta'").execute()["files"] or mine.files().list().execute()["files"]
    print("refusals: as the client knows them")

    for reason, status in (("userRateLimitExceeded", 403), ("", 429), ("backendError", 503)):
        order(fail={"match": "PUT /upload", "status": status, "reason": reason, "times": 1})
    upload(drive, {"name": "through faults"}, os.urandom(1 << 20), faults=3)
    order(fail={"match": "PUT /upload", "status": 500, "after": True})
    upload(drive, {"name": "through a lost answer"}, os.urandom(1 << 20), faults=1)
    order(expire=True)
    assert drive.about().get(fields="user,storageQuota").execute()["storageQuota"]
    print("faults: repeated and resumed")


main()
