"""The fixture processor of the host's tests. The body of a request is a command
and its arguments; the suite in pkg/serving/hosttest lists what every language's
fixture knows."""
import os
import subprocess
import sys
import threading
import time

import allspark


class Counter(object):
    """Counts the calls of process at the same time."""

    def __init__(self):
        self.lock = threading.Lock()
        self.inside = self.peak = 0

    def __enter__(self):
        with self.lock:
            self.inside += 1
            self.peak = max(self.peak, self.inside)

    def __exit__(self, *_):
        with self.lock:
            self.inside -= 1


def spin(ms):
    until = time.monotonic() + ms / 1000.0
    while time.monotonic() < until:
        pass


class Fixture(allspark.BaseProcessor):
    def initialize(self):
        properties = allspark.default_properties()
        self.model = properties.get("model_entry") + b"|" + properties.get("model_config")
        self.calls = Counter()
        self.met = threading.Condition()
        self.meeting = 0
        command, _, argument = properties.get("model_config").decode().partition(" ")
        if command == "state":
            raise RuntimeError("the fixture fails with state " + argument)
        if command == "sleep":
            time.sleep(int(argument) / 1000.0)
        elif command == "hang":
            while True:
                time.sleep(1000)
        elif command == "exit":
            sys.exit(int(argument))
        elif command == "print":
            print(argument)

    def process(self, data):
        command, _, argument = data.partition(b" ")
        if command == b"echo":  # first, because it is what is measured
            return argument, 200
        with self.calls:
            return self.do(command.decode("latin-1"), argument, data)

    def do(self, command, argument, data):
        if command == "":
            return b"empty", 200
        if command == "size":
            return str(len(data)), 200
        if command == "status":
            status, _, text = argument.partition(b" ")
            return text, int(status)
        if command == "sleep":
            time.sleep(int(argument) / 1000.0)
            return b"slept", 200
        if command == "spin":
            spin(int(argument))
            return b"spun", 200
        if command == "meet":
            with self.met:
                self.meeting += 1
                self.met.notify_all()
                if not self.met.wait_for(lambda: self.meeting >= int(argument), 30):
                    return b"nobody came", 500
            return b"met", 200
        if command == "peak":
            return str(self.calls.peak), 200
        if command == "null":
            return b"", 200
        if command == "big":
            return b"b" * int(argument), 200
        if command == "model":
            return self.model, 200
        if command == "print":
            print(argument.decode())
            return b"printed", 200
        if command == "env":
            value = os.environ.get(argument.decode())
            return (value, 200) if value is not None else (b"", 404)
        if command == "pid":
            return str(os.getpid()), 200
        if command == "cwd":
            return os.getcwd(), 200
        if command == "child":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
            self.child = child  # no warning that it still runs
            return str(child.pid), 200
        if command == "exit":
            sys.exit(int(argument))
        return b"unknown command", 400


if __name__ == "__main__":
    Fixture().run()
