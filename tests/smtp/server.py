"""A mail server on loopback: submission on one port, where TLS and then a login come first, and the same with implicit TLS on another.
What it accepts lies in a folder, each message as it came beside its envelope; `server.py show DIR` prints them as JSON, understood by
Python's `email`.

    server.py serve --submission PORT --implicit PORT --certificate FILE --key FILE --mails DIR --user USER --password PASSWORD --limit BYTES

Recipients answer by their names: `refused@…` with 550, `later@…` with 451; everybody else is taken. A file DIR/orders, JSON, changes
more while the server runs: {"refuse": "451 4.3.0 not now"} is the answer to every message.
"""

import argparse
import asyncio
import base64
import email
import email.policy
import json
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


class Keeper:
    """Keeps what it accepts."""

    def __init__(self, folder):
        self.folder = folder

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("refused@"):
            return "550 5.1.1 no such user"
        if address.startswith("later@"):
            return "451 4.7.1 greylisted, try again"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 fine"

    async def handle_DATA(self, server, session, envelope):
        orders = os.path.join(self.folder, "orders")
        if os.path.exists(orders):
            with open(orders, encoding="utf-8") as file:
                if answer := json.load(file).get("refuse"):
                    return answer
        about = {"sender": envelope.mail_from, "recipients": envelope.rcpt_tos, "login": session.login_name, "tls": server.is_secured()}
        stem = os.path.join(self.folder, f"{sum(name.endswith('.eml') for name in os.listdir(self.folder)):06}")
        for end, content in [(".json", json.dumps(about).encode()), (".eml", envelope.content)]:
            with open(stem + ".new", "wb") as file:
                file.write(content)
            os.rename(stem + ".new", stem + end)
        return "250 2.0.0 taken"


class Server(SMTP):
    """One connection."""

    def is_secured(self):
        return self.transport.get_extra_info("ssl_object") is not None


def serve(options):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(options.certificate, options.key)
    keeper = Keeper(options.mails)

    def judge(server, session, envelope, mechanism, data):
        session.login_name = data.login.decode()
        right = (data.login, data.password) == (options.user.encode(), options.password.encode())
        return AuthResult(success=right, handled=False)

    common = {"hostname": "localhost", "authenticator": judge, "auth_required": True, "data_size_limit": options.limit, "enable_SMTPUTF8": True}

    def submission():
        return Server(keeper, tls_context=context, require_starttls=True, **common)

    def implicit():
        # It looks for the TLS of STARTTLS alone.
        return Server(keeper, auth_require_tls=False, **common)

    async def run():
        loop = asyncio.get_running_loop()
        await loop.create_server(submission, "127.0.0.1", options.submission)
        await loop.create_server(implicit, "127.0.0.1", options.implicit, ssl=context)
        print("ready", flush=True)
        await asyncio.Event().wait()

    asyncio.run(run())


def show(folder):
    found = []
    for name in sorted(name for name in os.listdir(folder) if name.endswith(".eml")):
        with open(os.path.join(folder, name), "rb") as file:
            raw = file.read()
        with open(os.path.join(folder, name.replace(".eml", ".json")), encoding="utf-8") as file:
            envelope = json.load(file)
        message = email.message_from_bytes(raw, policy=email.policy.default)
        text, html = message.get_body(("plain",)), message.get_body(("html",))
        files = [part for part in message.walk() if part.get_content_disposition() in ("attachment", "inline")]
        people = {name: [str(one) for header in message.get_all(name, []) for one in header.addresses] for name in ["from", "to", "cc"]}
        found.append({
            **people,
            "envelope": envelope,
            "subject": str(message["subject"]),
            "headers": [[name, str(value)] for name, value in message.items()],
            "text": text and text.get_content(),
            "html": html and html.get_content(),
            "files": [
                {
                    "name": part.get_filename(),
                    "media_type": part.get_content_type(),
                    "content_id": part["content-id"] and str(part["content-id"]).strip("<>"),
                    "base64": base64.b64encode(part.get_payload(decode=True)).decode(),
                }
                for part in files
            ],
            "defects": [str(defect) for part in message.walk() for defect in part.defects],
        })
    json.dump(found, sys.stdout)


def main():
    if sys.argv[1] == "show":
        return show(sys.argv[2])
    parser = argparse.ArgumentParser()
    parser.add_argument("verb", choices=["serve"])
    for name in ["submission", "implicit", "limit"]:
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ["certificate", "key", "mails", "user", "password"]:
        parser.add_argument(f"--{name}", required=True)
    return serve(parser.parse_args())


if __name__ == "__main__":
    main()
