"""between.py MODE COMMAND...: a network that fails, between the supervisor and a module: starts COMMAND with a socket of its own and hands on
what both say, as the file MODE says by then: pass; delay=S; drop, neither way until it passes again; half, the module is not heard any more;
reset, its end is closed.
"""

import os
import select
import socket
import subprocess
import sys
import time

MODE, COMMAND = sys.argv[1], sys.argv[2:]
ABOVE = socket.socket(fileno=int(os.environ["CUTLINE_MODULE_FD"]))
BELOW, THEIRS = socket.socketpair()
CHILD = subprocess.Popen(
    COMMAND, env={**os.environ, "CUTLINE_MODULE_FD": str(THEIRS.fileno())}, pass_fds=[THEIRS.fileno()]
)
THEIRS.close()


def mode():
    with open(MODE, encoding="ascii") as file:
        return file.read()


while CHILD.poll() is None:
    now = mode()
    if now == "drop":
        time.sleep(0.01)
        continue
    if now == "half":
        ABOVE.shutdown(socket.SHUT_WR)
        CHILD.wait()
    if now == "reset":
        ABOVE.close()
        CHILD.wait()
    readable, _, _ = select.select([ABOVE, BELOW], [], [], 0.01)
    for one in readable:
        piece = one.recv(65536)
        if not piece:
            CHILD.wait(5)
            break
        kind, _, seconds = mode().partition("=")
        if kind == "delay":
            time.sleep(float(seconds))
        (BELOW if one is ABOVE else ABOVE).sendall(piece)
sys.exit(CHILD.returncode)
