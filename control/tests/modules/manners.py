"""A module with bad manners, for the tests of the supervisor: speaks the module protocol (docs/modules.md), and does what its arguments say.

slow=S        is ready after S seconds          never        is never ready
crash         dies before it is ready           late=S       dies S seconds after it was ready
deaf          does not answer nor end           stubborn     ignores SIGTERM, and what it is told
fork          has a child that ignores SIGTERM  leak         takes memory until it gets no more
silent        does not speak the protocol       flood        prints without end
env           prints its environment            reach        prints what it can reach
listen=PATH   lets in at this Unix socket, or at an address of this machine, HOST:PORT
notify        says by sd_notify that it is ready
rude          sends what is no protocol         future       speaks a later version
sticky        refuses every configuration       file=PATH    writes "there" to this file once it is ready
http          answers 200 where it lets in      muse=S       takes S seconds over a configuration
busy=PATH     answers 503 there while this file is there, and prints that it did
mute=PATH     does not say how it is while this file is there
keeps=PATH    has a line in this file for each life since it was told to begin without it
echo          prints what it is told
once=PATH     all of that in its first life alone, which makes this file
read=PATHS    prints which of them it can read    write=PATHS   and which it can write, with ":" between them
"""

import json
import os
import signal
import socket
import sys
import threading
import time

MANNERS = dict(argument.partition("=")[::2] for argument in sys.argv[1:])
WIRE = socket.socket(fileno=int(os.environ["CUTLINE_MODULE_FD"]))
LINES = WIRE.makefile("r", encoding="utf-8")


def say(**message):
    WIRE.sendall((json.dumps(message) + "\n").encode())


def wait(seconds):
    time.sleep(float(seconds))


def attempt(name, what):
    try:
        what()
        print(name, "reached", flush=True)
    except OSError as fault:
        print(name, "refused", fault.errno, flush=True)


def reach():
    attempt("network", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    attempt("process", lambda: os.fork() or os._exit(0))


def touch(paths, how):
    for path in paths.split(":"):
        attempt(f"{how} {path}", lambda: open(path, how, encoding="utf-8").close())


def serve(door):
    while True:
        client, _ = door.accept()
        with client:
            client.recv(4096)
            status = "200 OK"
            if "busy" in MANNERS and os.path.exists(MANNERS["busy"]):
                status = "503 Service Unavailable"
                print("busy", flush=True)
            client.sendall(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode())


def leak():
    try:
        kept = []
        while True:
            kept.append(bytearray(16 << 20))
    except MemoryError:
        print("no more memory", flush=True)
        os._exit(9)


def answer(line):
    kind = line["type"]
    if kind == "welcome" and "keeps" in MANNERS:
        with open(MANNERS["keeps"], "w" if line["reset"] else "a", encoding="utf-8") as file:
            file.write("a life\n")
    elif kind == "health":
        if "mute" in MANNERS and os.path.exists(MANNERS["mute"]):
            return
        say(type="health", id=line["id"], status="healthy", metrics={"queue_depth": 3})
    elif kind == "config_update":
        wait(MANNERS.get("muse") or 0)
        refused = "sticky" in MANNERS
        say(type="ack", id=line["id"], ok=not refused, error="as it was" if refused else "")
    elif kind == "shutdown":
        print("goodbye", flush=True)
        os._exit(0)


def main():
    if "once" in MANNERS:
        if os.path.exists(MANNERS["once"]):
            MANNERS.clear()
        else:
            with open(MANNERS["once"], "x", encoding="utf-8"):
                pass
    if "crash" in MANNERS:
        print("about to die", file=sys.stderr, flush=True)
        os._exit(7)
    if "stubborn" in MANNERS:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "fork" in MANNERS:
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            while True:
                signal.pause()
        print("child", child, flush=True)
    if "env" in MANNERS:
        print("env", " ".join(sorted(os.environ)), flush=True)
    if "reach" in MANNERS:
        reach()
    for key, how in (("read", "r"), ("write", "w")):
        if key in MANNERS:
            touch(MANNERS[key], how)
    if "listen" in MANNERS:
        wait(MANNERS.get("slow") or 0)
        if MANNERS["listen"].startswith("/"):
            if os.path.exists(MANNERS["listen"]):
                # What one that was killed has left.
                os.unlink(MANNERS["listen"])
            door = socket.socket(socket.AF_UNIX)
            door.bind(MANNERS["listen"])
            door.listen()
        else:
            host, _, port = MANNERS["listen"].partition(":")
            door = socket.create_server((host, int(port)))
        if "http" in MANNERS:
            threading.Thread(target=serve, args=(door,), daemon=True).start()
    if "silent" in MANNERS:
        while True:
            signal.pause()
    if "rude" in MANNERS:
        WIRE.sendall(b"GET / HTTP/1.1\r\n\r\n")
    say(type="hello", protocol=2 if "future" in MANNERS else 1, version="1.2")
    wait(MANNERS.get("slow") or 0)
    if "notify" in MANNERS:
        notice = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notice.sendto(b"STATUS=almost\nREADY=1\n", "\0" + os.environ["NOTIFY_SOCKET"][1:])
    if "file" in MANNERS:
        with open(MANNERS["file"], "w", encoding="utf-8") as file:
            file.write("there")
    if "never" not in MANNERS:
        say(type="ready")
    if "flood" in MANNERS:
        threading.Thread(target=lambda: [print("flood", number) for number in iter(int, 1)], daemon=True).start()
    if "leak" in MANNERS:
        leak()
    if "late" in MANNERS:
        wait(MANNERS["late"])
        say(type="event", name="about_to_die", data={"after_s": float(MANNERS["late"])})
        os._exit(11)
    for line in LINES:
        if "deaf" in MANNERS or "stubborn" in MANNERS:
            continue
        if "echo" in MANNERS:
            print(line, end="", flush=True)
        answer(json.loads(line))
    while "deaf" in MANNERS or "stubborn" in MANNERS:
        wait(1)


main()
