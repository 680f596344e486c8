"""An FTP server as old ones are: no MLSD, MLST, EPSV or OPTS, a reply to PASV with an address that leads nowhere, no overwriting by
rename, refusals without a reason, and listings for people, as Unix or as DOS has them.

    odd.py HOST PORT FIRST-LAST HOME PASSWORD unix|dos|append
"""

import os
import sys
import time

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

HOST, PORT, RANGE, HOME, PASSWORD, KIND = sys.argv[1:]
FIRST, LAST = map(int, RANGE.split("-"))
ABSENT = ["MLSD", "MLST", "EPSV", "EPRT", "OPTS", "FEAT", "MFMT", "MDTM"]
if KIND == "append":
    # As IIS, which continues an upload by APPE alone.
    ABSENT.append("REST")


class Odd(FTPHandler):
    proto_cmds = {name: what for name, what in FTPHandler.proto_cmds.items() if name not in ABSENT}
    masquerade_address = "10.255.255.1"
    passive_ports = range(FIRST, LAST + 1)
    banner = "welcome to 1989"

    def ftp_RNTO(self, path):
        if os.path.exists(path):
            self.respond("550 Rename failed.")
        else:
            return super().ftp_RNTO(path)

    def ftp_SIZE(self, path):
        if os.path.isfile(path):
            return super().ftp_SIZE(path)
        self.respond("550 Could not get file size.")

    def ftp_DELE(self, path):
        if os.path.isfile(path):
            return super().ftp_DELE(path)
        self.respond("550 Delete operation failed.")

    def ftp_MKD(self, path):
        if os.path.isdir(os.path.dirname(path)) and not os.path.exists(path):
            return super().ftp_MKD(path)
        self.respond("550 Create directory operation failed.")


class Dos:
    """IIS' listing, and its habit of taking `-a` for a name."""

    def pre_process_command(self, line, cmd, arg):
        if (cmd, arg) == ("LIST", "-a"):
            return self.respond("550 The system cannot find the file specified.")
        return super().pre_process_command(line, cmd, arg)

    def ftp_LIST(self, path):
        lines = []
        for name in sorted(os.listdir(path)):
            stat = os.stat(os.path.join(path, name))
            when = time.strftime("%m-%d-%y  %I:%M%p", time.localtime(stat.st_mtime))
            what = "<DIR>         " if os.path.isdir(os.path.join(path, name)) else f"{stat.st_size:>20}"
            lines.append(f"{when} {what:>20} {name}\r\n")
        self.push_dtp_data("".join(lines).encode(), cmd="LIST")
        return path


handler = type("Handler", (Dos, Odd) if KIND == "dos" else (Odd,), {})
authorizer = DummyAuthorizer()
authorizer.add_user("bk", PASSWORD, HOME, perm="elradfmwMT")
handler.authorizer = authorizer
FTPServer((HOST, int(PORT)), handler).serve_forever()
