"""What the tests need: a gateway that speaks frames, and programs to serve."""
import atexit
import http.client
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import textwrap
import threading

SDK = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PATIENCE = 30  # seconds for what must come

HELLO, START, READY, FAILED, REQUEST, RESPONSE = 1, 2, 3, 4, 5, 6
CANCEL, PING, PONG, DRAIN, DRAINED, FRAMES, PROPERTIES = 7, 8, 9, 10, 11, 12, 13
MORE, EXCEPTION, OPTIONAL = 0x01, 0x02, 0x80
HEADER = struct.Struct("<IBBHQ")

# Programs find allspark compiled, and none leaves that in the sources.
if "PYTHONPYCACHEPREFIX" not in os.environ:
    os.environ["PYTHONPYCACHEPREFIX"] = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, os.environ["PYTHONPYCACHEPREFIX"], True)
LARGEST = 256 << 10


def encode(**pairs):
    return b"".join(k.encode() + b"\0" + v.encode() + b"\0" for k, v in pairs.items())


def decode(payload):
    parts = payload.decode().split("\0")
    assert parts.pop() == "" and len(parts) % 2 == 0, payload
    return dict(zip(parts[::2], parts[1::2]))


def http_status(status, flags):
    """What the gateway makes of an answer's status."""
    if flags & EXCEPTION:
        return 400
    if status in (0, 200):
        return 200
    return status if 201 <= status <= 599 else 400


def environment(**more):
    env = dict(os.environ, **more)
    for name in ("NAMESPACE", "POD_NAME", "WORKER_NAME", "SERVICE_CONFIG", "EAS_MODEL_DIR", "PYTHONPATH"):
        if name not in more:
            env.pop(name, None)
    return env


class Program(object):
    """A program in a directory of its own, with its output."""

    def __init__(self, test, source, name="app.py"):
        self.test = test
        self.dir = os.path.realpath(tempfile.mkdtemp())
        test.addCleanup(shutil.rmtree, self.dir, True)
        self.path = os.path.join(self.dir, name)
        with open(self.path, "w", encoding="utf-8") as f:
            f.write(textwrap.dedent(source))
        self.out = b""
        self._ended = False  # the output
        self._changed = threading.Condition()

    def start(self, command, env):
        env = {name: value for name, value in env.items() if value is not None}
        self.process = subprocess.Popen(
            command, cwd=self.dir, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.test.addCleanup(self._end)
        self._reader = threading.Thread(target=self._read)
        self._reader.daemon = True
        self._reader.start()

    def _read(self):
        while True:
            data = os.read(self.process.stdout.fileno(), 65536)
            with self._changed:
                self.out += data
                self._ended = not data
                self._changed.notify_all()
            if not data:
                return

    def _end(self):
        try:
            os.killpg(self.process.pid, 9)
        except OSError:
            pass
        self.process.wait()
        self._reader.join(PATIENCE)
        self.process.stdout.close()

    @property
    def output(self):
        with self._changed:
            return self.out.decode("utf-8", "replace")

    def wait_output(self, text):
        self.wait_match(re.escape(text))

    def wait_match(self, pattern):
        """Wait for output that matches, and return the match."""
        search = re.compile(pattern.encode()).search
        with self._changed:
            if not self._changed.wait_for(lambda: search(self.out) or self._ended, PATIENCE) or not search(self.out):
                self.test.fail("%r was not printed, but:\n%s" % (pattern, self.out.decode("utf-8", "replace")))
            return search(self.out)

    def wait_end(self):
        """Wait until all output has been read."""
        self._reader.join(PATIENCE)

    def wait(self):
        """Wait for the end of the process, and return its exit status."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.test.fail("the process does not end; it has printed:\n" + self.output)


class Worker(Program):
    """A program as a worker, with the test as its gateway."""

    def __init__(self, test, source, threads=5, env=None, start=None, arguments=(), wait=True, launcher="eashost.py"):
        super(Worker, self).__init__(test, source)
        sockets = tempfile.mkdtemp()
        test.addCleanup(shutil.rmtree, sockets, True)
        path = os.path.join(sockets, "s")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(PATIENCE)
        variables = environment(EASCMD_WORKER_SOCKET=path, EASCMD_WORKER_ID="3", EASCMD_WORKER_KEY="k")
        variables.update(env or {})
        self.start([sys.executable, os.path.join(SDK, launcher), self.path] + list(arguments), variables)
        self.connection, _ = listener.accept()
        listener.close()
        test.addCleanup(self.connection.close)
        self.connection.settimeout(PATIENCE)
        self.stream = self.connection.makefile("rb")
        test.addCleanup(self.stream.close)
        self.seen = []  # frames that were passed over, by type
        self.properties = {}
        self.ids = 0
        self.partial = {}
        self.answers = {}
        self.hello = decode(self.expect(HELLO)[3])
        self.send(HELLO, encode(protocol="1", features=""))
        props = dict(service="test", workspace=self.dir, entry=self.path, main_class="", model_entry="", model_config="")
        props["threads"] = str(threads)
        props.update(start or {})
        self.send(START, encode(**props))
        if wait:
            self.ready = decode(self.expect(READY)[3])

    def send(self, kind, payload=b"", flags=0, rid=0):
        self.connection.sendall(HEADER.pack(len(payload), kind, flags, 0, rid) + payload)

    def frame(self):
        head = self.stream.read(HEADER.size)
        if len(head) < HEADER.size:
            self.test.fail("the worker has closed the connection; it has printed:\n" + self.output)
        length, kind, flags, status, rid = HEADER.unpack(head)
        return kind, flags, (status, rid), self.stream.read(length)

    def expect(self, kind):
        while True:
            frame = self.frame()
            if frame[0] == kind:
                return frame
            if frame[0] in (FRAMES, PROPERTIES):
                self.test.assertTrue(frame[1] & OPTIONAL)
                if frame[0] == PROPERTIES:
                    self.properties.update(decode(frame[3]))
                self.seen.append(frame[0])
            elif frame[0] == RESPONSE:
                self._answer(frame)
            elif frame[0] == FAILED:
                self.test.fail("FAILED: %r\n%s" % (decode(frame[3]), self.output))
            else:
                self.test.fail("a frame of type %d instead of %d" % (frame[0], kind))

    def request(self, body):
        self.ids += 1
        while len(body) > LARGEST:
            self.send(REQUEST, body[:LARGEST], MORE, self.ids)
            body = body[LARGEST:]
        self.send(REQUEST, body, 0, self.ids)
        return self.ids

    def _answer(self, frame):
        _, flags, (status, rid), payload = frame
        parts = self.partial.setdefault(rid, [])
        parts.append(payload)
        if not flags & MORE:
            self.test.assertNotIn(rid, self.answers)
            self.answers[rid] = (status, flags, b"".join(self.partial.pop(rid)))

    def answer(self, rid):
        """Wait for an answer: (status, flags, body)."""
        while rid not in self.answers:
            self._answer(self.expect(RESPONSE))
        return self.answers.pop(rid)

    def post(self, body):
        """Ask, and return what a client gets: (HTTP status, body)."""
        status, flags, answer = self.answer(self.request(body))
        return http_status(status, flags), answer

    def drain(self):
        self.send(DRAIN)
        self.expect(DRAINED)
        self.test.assertEqual(self.wait(), 0, self.output)


class Server(Program):
    """A program that was started by hand, without an eascmd."""

    def __init__(self, test, source, env=None, wait=True, arguments=()):
        super(Server, self).__init__(test, source)
        variables = environment(EASCMD="", PYTHONPATH=SDK, TEST_ENDPOINT="127.0.0.1:0/")
        variables.update(env or {})
        self.start([sys.executable, self.path] + list(arguments), variables)
        if wait:
            self.connect()

    def connect(self):
        """Wait until it says on which port it listens."""
        self.port = int(self.wait_match(r"listening on \S+:(\d+)\r?\n").group(1))

    def http(self, method, path, body=None, headers=()):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            return response.status, response.read(), dict((k.lower(), v) for k, v in response.getheaders())
        finally:
            connection.close()

    def post(self, body):
        status, answer, _ = self.http("POST", "/test", body)
        return status, answer

    def raw(self, data):
        """Send bytes, and return all that comes until the connection ends."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as s:
            s.settimeout(PATIENCE)
            s.sendall(data)
            parts = []
            while True:
                part = s.recv(65536)
                if not part:
                    return b"".join(parts)
                parts.append(part)
