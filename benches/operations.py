#!/usr/bin/env python3
"""What supervision costs and how soon it acts: operations.py [--kills N] [--soak-minutes M [--samples FILE]]

Runs the release binary (cargo build --release) with a feed and modules that are a shell script each, kills modules of each strategy N times and
reads the record of events: from the death that was seen to ready again, or to where a person is needed and from their word to ready. Fails if
its own memory is above OWN_MAX_MB. With --soak-minutes it then leaves the system alone under load and shows how memory, descriptors and
threads of the process do: the median of each tenth of the time, and with --samples each sample, a line of seconds, own memory and memory of
logs in MB, descriptors, threads. Prints figures, with the smallest and largest in brackets; no test.
"""
import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CUTLINE = ROOT / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "cutline"
POLITE = ROOT / "control/tests/modules/polite.sh"
STRATEGIES = ["restart", "reset", "system"]
# With these a person starts the module again, and the event that says that it is time to.
BY_HAND = {"degrade": "recovered", "manual": "given_up"}
RECEIPTS_PER_S = 2_000
# Without the lanes' logs and counters, which are memory that it shares.
OWN_MAX_MB = 50

SYSTEM = """
[scheduler]
interval_ms = 1000
delay_ms = 100
[engine]
use = "scripted"
[log]
dir = "{folder}/data"
segment_bytes = 4_194_304
retention = {{ inputs_bytes = 67_108_864, runs_bytes = 33_554_432, outputs_bytes = 33_554_432 }}
[supervisor]
parallel_startup = true
start_delay_ms = 0
[recovery]
backoff_ms = 10
backoff_max_ms = 10
jitter_percent = 0
stable_ms = 500
[[feed]]
kind = "unix"
listen = "{folder}/feed.sock"
"""
MODULE = """
[[module]]
name = "by-{strategy}"
command = ["/bin/sh", "{polite}"]
read = ["{polite}"]
recovery = "{strategy}"
required = false
"""


class System:
    """A running Cutline and its record of events."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        text = SYSTEM.format(folder=folder)
        text += "".join(MODULE.format(strategy=strategy, polite=POLITE) for strategy in [*STRATEGIES, *BY_HAND])
        config = self.folder / "system.toml"
        config.write_text(text)
        self.read = 0
        self.unseen = []
        self.began = time.monotonic()
        self.process = subprocess.Popen([CUTLINE, "run", "--config", config], stderr=subprocess.DEVNULL)
        self.wait(lambda event: event["event"] == "up")
        self.up_after = time.monotonic() - self.began

    def events(self):
        record = self.folder / "data/events.jsonl"
        whole = record.read_text().rsplit("\n", 1)[0].splitlines() if record.exists() else []
        new = [json.loads(line) for line in whole[self.read:]]
        self.read = len(whole)
        return new

    def wait(self, wanted, seconds=30):
        """The first new event that is wanted."""
        seen, until = [], time.monotonic() + seconds
        while time.monotonic() < until:
            self.unseen += self.events()
            while self.unseen:
                seen.append(self.unseen.pop(0))
                if wanted(seen[-1]):
                    return seen[-1]
            time.sleep(0.005)
        raise SystemExit(f"operations.py: nothing like that within {seconds} s; the last events: {seen[-5:]}")

    def pid_of(self, module):
        modules = json.loads(subprocess.run([CUTLINE, "modules", self.folder / "data", "--json"], check=True, capture_output=True).stdout)
        return next(entry["pid"] for entry in modules if entry["name"] == module)

    def usage(self):
        """Own memory and memory shared with others, MB, and numbers of descriptors and threads."""
        proc = pathlib.Path(f"/proc/{self.process.pid}")
        status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
        mb = lambda key: int(status[key].split()[0]) / 1000
        return mb("RssAnon") + mb("RssFile"), mb("RssShmem"), len(list((proc / "fd").iterdir())), int(status["Threads"])


def death_of(system, module):
    """Kills a module; when its death was seen, Unix ms."""
    time.sleep(0.7)  # It counts as stable again, and is at its first attempt.
    system.events()
    os.kill(system.pid_of(module), signal.SIGKILL)
    return system.wait(lambda event: event["module"] == module and event["event"] == "failed")["at_ms"]


def killed(system, strategy):
    """Milliseconds from the death that was seen to ready again, or to up again where the whole system restarts."""
    module = f"by-{strategy}"
    died_ms = death_of(system, module)
    is_back = lambda event: event["event"] == "up" if strategy == "system" else event["module"] == module and event["event"] == "ready"
    return system.wait(is_back)["at_ms"] - died_ms


def killed_and_started(system, strategy):
    """Milliseconds from the death that was seen to where a person is needed, and from their command to ready again."""
    module = f"by-{strategy}"
    died_ms = death_of(system, module)
    needed_ms = system.wait(lambda event: event["module"] == module and event["event"] == BY_HAND[strategy])["at_ms"]
    asked_ms = time.time() * 1000
    subprocess.run([CUTLINE, "module", "start", system.folder / "data", module], check=True, capture_output=True)
    ready_ms = system.wait(lambda event: event["module"] == module and event["event"] == "ready")["at_ms"]
    return needed_ms - died_ms, ready_ms - asked_ms


def soak(system, minutes, record):
    feed = [CUTLINE, "generate", "--to", f"unix:{system.folder}/feed.sock", "--rate", str(RECEIPTS_PER_S), "--count", str(RECEIPTS_PER_S * 60 * minutes), "--paced"]
    feeder = subprocess.Popen(feed, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    began = time.monotonic()
    time.sleep(30)
    samples = []
    while feeder.poll() is None:
        samples.append(system.usage())
        if record:
            print(round(time.monotonic() - began), *samples[-1], sep=",", file=record, flush=True)
        time.sleep(10)
    if feeder.returncode != 0 or len(samples) < 10:
        raise SystemExit(f"operations.py: the feed ended with {feeder.returncode} after {len(samples)} samples")
    if max(own for own, *_ in samples) > OWN_MAX_MB:
        raise SystemExit(f"operations.py: {max(own for own, *_ in samples):.1f} MB of its own in the soak, more than {OWN_MAX_MB}")
    for name, values in zip(["own memory, MB", "memory of logs, MB", "descriptors", "threads"], zip(*samples)):
        tenths = [statistics.median(values[len(values) * i // 10:len(values) * (i + 1) // 10]) for i in range(10)]
        print(f"soak {minutes} min, {name}, by tenths: {' '.join(f'{value:.1f}' for value in tenths)} [{min(values):.1f}..{max(values):.1f}]")


def spread(took_ms):
    return f"{statistics.median(took_ms):.0f} ms [{min(took_ms):.0f}..{max(took_ms):.0f}]"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--soak-minutes", type=int, default=0)
    parser.add_argument("--samples", type=argparse.FileType("w"))
    options = parser.parse_args()
    if options.soak_minutes in (1, 2) or options.soak_minutes < 0:
        parser.error(f"--soak-minutes {options.soak_minutes}: a soak takes 3 minutes or more, for a sample in each tenth of it; 0 is none")
    if not CUTLINE.exists():
        raise SystemExit(f"operations.py: no {CUTLINE}; first run `cargo build --release`")
    with tempfile.TemporaryDirectory() as folder:
        system = System(folder)
        try:
            print(f"from the start of the process to all up, modules included: {system.up_after * 1000:.0f} ms")
            own, shared, descriptors, threads = system.usage()
            print(f"memory: {own:.1f} MB of its own, {shared:.1f} MB of logs and counters; {descriptors} descriptors, {threads} threads")
            if own > OWN_MAX_MB:
                raise SystemExit(f"operations.py: more than {OWN_MAX_MB} MB of its own")
            for strategy in STRATEGIES:
                took = [killed(system, strategy) for _ in range(options.kills)]
                print(f"{strategy}: ready again after {spread(took)}, {len(took)} kills, 10 ms of it backoff")
            for strategy in BY_HAND:
                told, took = zip(*(killed_and_started(system, strategy) for _ in range(options.kills)))
                print(f"{strategy}: a person is needed after {spread(told)}, and ready {spread(took)} after `cutline module start`, {len(took)} kills")
            if options.soak_minutes:
                soak(system, options.soak_minutes, options.samples)
        finally:
            system.process.terminate()
            system.process.wait(timeout=60)


main()
