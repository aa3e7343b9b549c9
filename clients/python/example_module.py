"""A module in Python: writes a line to a file every so often, and does everything that the module protocol has.

    [[module]]
    name = "beat"
    command = ["/usr/bin/python3", "./example_module.py"]
    read = ["/usr/lib/python3", "./example_module.py"]
    write = ["./beats"]
    [module.config]
    file = "./beats/file"
    interval_ms = 100

It takes another interval while it runs, and no other file.
"""

import time

from cutline.module import Module, Refused


class Beat:
    """A file, and when its next line is due."""

    def __init__(self, config, reset):
        self.take(config)
        self.beats, self.due_s = 0, time.monotonic()
        self.file = open(config["file"], "w" if reset else "a", encoding="utf-8")

    def take(self, config):
        interval_ms = config.get("interval_ms")
        if not isinstance(interval_ms, int) or not 1 <= interval_ms <= 60_000:
            raise Refused("interval_ms is from 1 to 60000")
        self.interval_s, self.due_s = interval_ms / 1000, time.monotonic()

    def work(self):
        if time.monotonic() >= self.due_s:
            self.beats += 1
            self.write(self.beats)
            self.due_s = time.monotonic() + self.interval_s
        return max(self.due_s - time.monotonic(), 0)

    def write(self, what):
        print(what, file=self.file, flush=True)

    def health(self):
        return {"metrics": {"queue_depth": 0, "beats": self.beats}}


def main():
    module = Module.inherited()
    if module is None:
        raise SystemExit("example_module: is to be started by Cutline")
    module.hello("1.0")
    beat = Beat(module.config, module.reset)

    def update(config):
        beat.take(config)
        module.event("takes", interval_ms=config["interval_ms"])

    module.ready()
    module.serve(beat.health, update, beat.work)
    beat.write("the end")


main()
