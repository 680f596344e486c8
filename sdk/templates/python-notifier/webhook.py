"""What is sent to a webhook, and what its answers mean, in plain Python: nothing here knows of WebAssembly."""

import json
from urllib.parse import urlsplit


class Refused(Exception):
    """Why a verb failed: `kind` is a name of the contract's `error-kind`, which is what the host acts on; the text is for a person."""

    def __init__(self, kind: str, message: str, wait_ms: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.wait_ms = wait_ms


def address(url: str, allow_plaintext: bool) -> tuple[str, str, str]:
    """Scheme, host with port, and path with query of the webhook."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # It is read lazily, and may be no number.
    except ValueError as error:
        raise Refused("invalid-config", f"/url is no address: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None or parts.fragment:
        raise Refused("invalid-config", "/url must be `https://host[:port]/path`, without a name, a password or a fragment")
    if parts.scheme == "http" and not allow_plaintext:
        raise Refused("invalid-config", "/url is not encrypted; set allow_plaintext = true if that is meant")
    query = f"?{parts.query}" if parts.query else ""
    return parts.scheme, parts.netloc, f"{parts.path or '/'}{query}"


def body(event: str, severity: str, at_unix_ms: int, subject: str, text: str, facts: str, identity: str) -> bytes:
    """The message as JSON. Facts are a JSON object already, and stay one."""
    message = {
        "id": identity,
        "event": event,
        "severity": severity,
        "at_unix_ms": at_unix_ms,
        "subject": subject,
        "text": text,
        "facts": json.loads(facts),
    }
    return json.dumps(message, ensure_ascii=False).encode()


def accepted(status: int, retry_after: str | None) -> None:
    """Whether the service took the message. A redirection is a refusal: it could lead to where nobody granted."""
    if 200 <= status < 300:
        return
    kinds = {
        401: "access-denied",
        403: "access-denied",
        404: "not-found",
        408: "timeout",
        410: "not-found",
        429: "rate-limited",
        504: "timeout",
    }
    kind = kinds.get(status, "unavailable" if status >= 500 else "other")
    # Seconds; the other form, a date, is rare for it, and the host waits by its own measure then.
    wait = int(retry_after) * 1_000 if retry_after and retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 10 else None
    raise Refused(kind, f"the webhook answered {status}", wait)
