"""A notifier of cofre in Python: posts each message as JSON to a webhook.

The classes are those that componentize-py looks for; what is sent is in `webhook.py`. `wit_world` and `componentize_py_types` are bindings
that `componentize-py` makes from the contract (`wit/`); it makes them by itself for a build, and `componentize-py ... bindings` writes
them down for an editor.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from componentize_py_types import Err, Ok, Some
from wit_world import exports
from wit_world.exports import notifier, plugin
from wit_world.imports import cofre_plugin_types as types
from wit_world.imports import host, outgoing_handler, streams
from wit_world.imports import wasi_http_types as http

import webhook
from webhook import Refused

NAME = "{{name}}"
VERSION = "0.1.0"
SUMMARY = "Posts messages as JSON to a webhook."

TIMEOUT_NS = 30_000_000_000
"""Time for a connection, and for the first byte of an answer."""

SETTINGS = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "Settings",
    "description": "Settings of one instance.",
    "type": "object",
    "additionalProperties": False,
    "required": ["url"],
    "properties": {
        "url": {"description": "Address of the webhook: `https://host[:port]/path`.", "type": "string"},
        "allow_plaintext": {
            "description": "Whether `http://` may carry messages and the token unencrypted.",
            "type": "boolean",
            "default": False,
        },
    },
}

RETRYABLE = {types.ErrorKind.RATE_LIMITED, types.ErrorKind.UNAVAILABLE, types.ErrorKind.TIMEOUT, types.ErrorKind.INTEGRITY}
"""Kinds that usually pass. A plug-in itself tries once: the host retries, and decides from this alone."""


@contextmanager
def reported() -> Iterator[None]:
    """Turns what was refused into the contract's error. Any other exception is a bug: it ends the instance, and the host says so."""
    try:
        yield
    except Refused as why:
        kind = types.ErrorKind[why.kind.upper().replace("-", "_")]
        raise Err(types.Error(kind, kind in RETRYABLE, why.wait_ms, why.message, [])) from None


def address() -> tuple[str, str, str]:
    """Scheme, host with port, and path of the webhook in the settings. The host has checked them against `SETTINGS` already."""
    settings = json.loads(host.settings())
    return webhook.address(settings["url"], settings.get("allow_plaintext", False))


def request(method: http.Method, headers: list[tuple[str, bytes]]) -> http.OutgoingRequest:
    """A request to the webhook, with its token where there is one."""
    scheme, authority, path = address()
    token = host.secret("token")
    if token is not None:
        headers = [*headers, ("authorization", f"Bearer {token}".encode())]
    made = http.OutgoingRequest(http.Fields.from_list(headers))
    made.set_method(method)
    made.set_scheme(http.Scheme_Https() if scheme == "https" else http.Scheme_Http())
    made.set_authority(authority)
    made.set_path_with_query(path)
    return made


def send(made: http.OutgoingRequest, content: bytes) -> tuple[int, str | None]:
    """Sends a request; the status of its answer, and what it says of coming again."""
    options = http.RequestOptions()
    options.set_connect_timeout(TIMEOUT_NS)
    options.set_first_byte_timeout(TIMEOUT_NS)
    try:
        out = made.body()
        future = outgoing_handler.handle(made, options)
        with out.write() as stream:
            # At most 4,096 bytes at once, says the contract of WASI. What goes out like this is not freed by componentize-py 0.25.1 until
            # the call ends: a message is small, but a file would have to be spliced from stream to stream.
            for at in range(0, len(content), 4_096):
                stream.blocking_write_and_flush(content[at : at + 4_096])
        http.OutgoingBody.finish(out, None)
        with future.subscribe() as answered:
            answered.block()
        return answer(future.get())
    except Err as error:
        raise failed(error.value) from None


def answer(got: Any) -> tuple[int, str | None]:
    """Status and `Retry-After` of an answer: an option of a result of a result."""
    outer = got.value if isinstance(got, Some) else got
    inner = outer.value if isinstance(outer, Ok) else outer
    if isinstance(inner, Err):
        raise inner
    with inner.value if isinstance(inner, Ok) else inner as response:
        with response.headers() as headers:
            waits = headers.get("retry-after")
        return response.status(), waits[0].decode("latin-1") if waits else None


def failed(why: Any) -> Refused:
    """Why there was no answer. The request itself is not told: it has the token."""
    if isinstance(why, streams.StreamError_LastOperationFailed):
        why = http.http_error_code(why.value) or why
    name = type(why).__name__.removeprefix("ErrorCode_")
    if isinstance(why, http.ErrorCode_HttpRequestDenied):
        return Refused("access-denied", "the webhook is not granted (grants.network)")
    if "Timeout" in name:
        return Refused("timeout", f"the webhook did not answer in time: {name}")
    if isinstance(why, (http.ErrorCode_TlsCertificateError, http.ErrorCode_HttpRequestUriInvalid)):
        return Refused("invalid-config", f"the webhook cannot be talked to: {name}")
    return Refused("unavailable", f"the webhook cannot be reached: {name}")


class Plugin(exports.Plugin):
    """Self-description. It is read with nothing granted, so it must reach for nothing, not even the settings."""

    def describe(self) -> plugin.Description:
        return plugin.Description(
            name=NAME,
            version=VERSION,
            kind=plugin.Kind.NOTIFIER,
            summary=SUMMARY,
            settings_schema=json.dumps(SETTINGS),
            network=[plugin.NetworkNeed("{url}", "the webhook that messages are posted to")],
            secrets=[plugin.SecretNeed("token", "bearer token of the webhook", True)],
            directory=False,
        )


class Notifier(exports.Notifier):
    """Each call has an instance of its own: nothing survives in memory."""

    def probe(self) -> None:
        """Asks for the address without posting: whatever it answers proves the way, and only a refused token is an error."""
        with reported():
            status, wait = send(request(http.Method_Head(), []), b"")
            if status in (401, 403):
                webhook.accepted(status, wait)

    def notify(self, message: notifier.Message, attachments: list[notifier.Attachment]) -> None:
        with reported():
            if attachments:
                raise Refused("unsupported", f"cannot deliver {attachments[0].name}: a message in JSON takes no files")
            content = webhook.body(
                message.event,
                message.severity.name.lower(),
                message.at_unix_ms,
                message.subject,
                message.text,
                message.facts,
                message.id,
            )
            headers = [("content-type", b"application/json"), ("content-length", str(len(content)).encode())]
            status, wait = send(request(http.Method_Post(), headers), content)
            webhook.accepted(status, wait)
