"""A network that fails, between the supervisor and who speaks the module protocol: hands on what both say, as the file MODE says by then:
pass; delay=S; drop, neither way until it passes again; half, who speaks is not heard any more; reset, its end is closed.

As a program, between.py MODE COMMAND..., it starts COMMAND with a socket of its own. Text that a Python engine begins with has it within
the engine's process: within_this_process(MODE).
"""

import os
import pathlib
import select
import socket
import subprocess
import sys
import threading
import time

VARIABLE = "CUTLINE_MODULE_FD"


def hand_on(above, below, mode, is_over):
    """Until one of them says no more, or it is over; whether the network has cut them off from each other for good."""
    before = "pass"
    while not is_over():
        # Empty while it is being written.
        now = mode.read_text(encoding="ascii") or before
        if now != before:
            print("network:", now, file=sys.stderr, flush=True)
        before = now
        if now == "drop":
            time.sleep(0.01)
            continue
        if now == "half":
            above.shutdown(socket.SHUT_WR)
            return True
        if now == "reset":
            above.close()
            return True
        readable, _, _ = select.select([above, below], [], [], 0.01)
        for one in readable:
            piece = one.recv(65536)
            if not piece:
                return False
            kind, _, seconds = mode.read_text(encoding="ascii").partition("=")
            if kind == "delay":
                time.sleep(float(seconds))
            try:
                (below if one is above else above).sendall(piece)
            except BrokenPipeError:
                # The other one has just ended.
                return False
    return False


def sockets():
    """What the supervisor hears; what is to be handed on; the end that takes its place."""
    return (socket.socket(fileno=int(os.environ[VARIABLE])), *socket.socketpair())


def before_a_command(mode, command):
    above, below, theirs = sockets()
    child = subprocess.Popen(
        command, env={**os.environ, VARIABLE: str(theirs.fileno())}, pass_fds=[theirs.fileno()]
    )
    theirs.close()
    is_cut_off = hand_on(above, below, mode, lambda: child.poll() is not None)
    child.wait(None if is_cut_off else 5)
    return child.returncode


def within_this_process(mode):
    if VARIABLE not in os.environ:
        return
    above, below, theirs = sockets()
    os.environ[VARIABLE] = str(theirs.detach())
    # Whose lane goes on with it when it is cut off, and nobody starts it again for that.
    threading.Thread(target=hand_on, args=(above, below, mode, lambda: False), daemon=True).start()


if __name__ == "__main__":
    sys.exit(before_a_command(pathlib.Path(sys.argv[1]), sys.argv[2:]))
