"""Programs that are started by hand: the gateway in Python, and the way to
eascmd where there is one."""
import http.server
import json
import os
import select
import signal
import socket
import sys
import textwrap
import threading
import unittest

from harness import PATIENCE, SDK, Program, Server, environment

PROGRAM = """
import os, socket, sys, threading, time
import allspark
socket.setdefaulttimeout(0.05)  # it is the program's own affair

allspark.default_properties().put("rpc.max_queue_size", os.environ.get("TEST_QUEUE", "64"))
allspark.default_properties().put("rpc.token", os.environ.get("TEST_TOKEN", ""))

class P(allspark.BaseProcessor):
    def initialize(self):
        self.gate = threading.Event()
        allspark.default_properties().put("rpc.keepalive", int(os.environ.get("TEST_KEEPALIVE", "5000")))

    def process(self, data):
        if data == b"wait":
            print("waiting", flush=True)
            self.gate.wait(30)
        elif data == b"open":
            self.gate.set()
        elif data == b"pid":
            return str(os.getpid()), 200
        elif data.startswith(b"status "):
            return b"body", int(data[7:])
        elif data == b"exit":
            sys.exit(4)
        return data, 200

if __name__ == "__main__":
    P(2, worker_processes=int(os.environ.get("TEST_PROCESSES", "1")), endpoint=os.environ.get("TEST_ENDPOINT")).run()
"""


class HTTP(unittest.TestCase):
    def test_one_connection_for_many(self):
        server = Server(self, PROGRAM)
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as s:
            s.settimeout(PATIENCE)
            stream = s.makefile("rb")
            for body in (b"a", b"", b"x" * 300000):
                s.sendall(b"POST /api/predict/x?y=z HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                self.assertEqual(self.read(stream), (b"HTTP/1.1 200 OK", body))
            s.sendall(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 3)  # in one write
            for _ in range(3):
                self.assertEqual(self.read(stream), (b"HTTP/1.1 200 OK", b""))
            s.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                      b"3\r\nabc\r\nA;name=value\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n")
            self.assertEqual(self.read(stream), (b"HTTP/1.1 200 OK", b"abc0123456789"))
            s.sendall(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
            self.assertEqual(stream.readline(), b"HTTP/1.1 100 Continue\r\n")
            self.assertEqual(stream.readline(), b"\r\n")
            s.sendall(b"ok")
            self.assertEqual(self.read(stream), (b"HTTP/1.1 200 OK", b"ok"))

    def read(self, stream):
        first = stream.readline().rstrip()
        length = 0
        while True:
            name, _, value = stream.readline().rstrip().partition(b": ")
            if not name:
                return first, stream.read(length)
            if name.lower() == b"content-length":
                length = int(value)

    def test_answers_as_bytes(self):
        server = Server(self, PROGRAM)
        for request, begin, end in [
            (b"GET / HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", b""),
            (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx", b"HTTP/1.1 200 OK\r\n", b"\r\nConnection: close\r\n\r\nx"),
            (b"HEAD / HTTP/1.0\r\nContent-Length: 1\r\n\r\nx", b"HTTP/1.1 200 OK\r\n", b"Content-Length: 1\r\nConnection: close\r\n\r\n"),
            (b"POST / HTTP/1.0\r\nContent-Length: 10\r\n\r\nstatus 204", b"HTTP/1.1 204 No Content\r\n", b"\r\n\r\n"),
            (b"nonsense\r\n\r\n", b"HTTP/1.1 400 ", b"this is no HTTP/1.1 request"),
            (b"GET / HTTP/2.0\r\n\r\n", b"HTTP/1.1 400 ", b"this is no HTTP/1.1 request"),
            (b"GET / HTTP/1.1\r\nno header\r\n\r\n", b"HTTP/1.1 400 ", b""),
            (b"GET / HTTP/1.1\r\nName : x\r\n\r\n", b"HTTP/1.1 400 ", b""),
            (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"HTTP/1.1 400 ", b"Content-Length is no number"),
            (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"HTTP/1.1 400 ", b""),
            (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"HTTP/1.1 400 ", b""),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", b"HTTP/1.1 400 ", b""),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"HTTP/1.1 400 ", b""),
            (b"POST / HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n", b"HTTP/1.1 413 ", b""),
            (b"GET / HTTP/1.1\r\nX: " + b"x" * 70000 + b"\r\n\r\n", b"HTTP/1.1 431 ", b""),
        ]:
            with self.subTest(request[:60]):
                got = server.raw(request)
                self.assertTrue(got.startswith(begin), got)
                self.assertTrue(got.endswith(end), got)
        self.assertEqual(server.post(b"on"), (200, b"on"))

    def test_builtin(self):
        server = Server(self, PROGRAM)
        self.assertEqual(server.http("GET", "/api/builtin/ping")[0], 200)
        self.assertEqual(server.http("GET", "/api/builtin/tell")[0], 404)

    def test_token(self):
        server = Server(self, PROGRAM, env={"TEST_TOKEN": "secret="})
        for value, status in (("secret=", 200), ("Bearer secret=", 200), ("bearer  secret=", 200), ("other", 401), ("", 401)):
            self.assertEqual(server.http("POST", "/", b"x", {"Authorization": value})[0], status, value)
        self.assertEqual(server.post(b"x")[0], 401)

    def test_keepalive(self):
        server = Server(self, PROGRAM, env={"TEST_KEEPALIVE": "100"})
        got = server.raw(b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nwait")
        self.assertTrue(got.startswith(b"HTTP/1.1 408 "), got)  # and the connection ends
        self.assertEqual(server.post(b"on"), (200, b"on"))

    def test_queue(self):
        server = Server(self, PROGRAM, env={"TEST_QUEUE": "1", "TEST_KEEPALIVE": "30000"})

        def ask(body):
            s = socket.create_connection(("127.0.0.1", server.port), PATIENCE)
            self.addCleanup(s.close)
            s.sendall(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            return s

        slow = [ask(b"wait"), ask(b"wait")]  # as many as there are threads
        server.wait_match("(?s)waiting.*waiting")
        # Of two more, one may wait and one may not.
        more = [ask(b"x"), ask(b"x")]
        refused = select.select(more, (), (), PATIENCE)[0]
        self.assertEqual(len(refused), 1)
        got = b""
        while True:
            part = refused[0].recv(65536)
            got += part
            if not part:
                break  # the connection ends
        self.assertTrue(got.startswith(b"HTTP/1.1 450 "), got)
        self.assertEqual(select.select(more + slow, (), (), 0)[0], refused)

    def test_children(self):
        server = Server(self, PROGRAM, env={"TEST_PROCESSES": "2"})
        self.assertEqual(server.post(b"x"), (200, b"x"))
        self.assertNotEqual(server.post(b"pid")[1], str(server.process.pid).encode())
        server.wait_output("[INFO] all subprocesses have finished initialization\n")

    def test_address_in_use(self):
        server = Server(self, PROGRAM)
        second = Server(self, PROGRAM, wait=False, env={"TEST_ENDPOINT": "127.0.0.1:%d" % server.port})
        self.assertEqual(second.wait(), 1)
        second.wait_output("Address already in use")

    def test_signals(self):
        for processes in ("1", "2"):
            for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)):
                server = Server(self, PROGRAM, env={"TEST_PROCESSES": processes})
                child = int(server.post(b"pid")[1])
                server.process.send_signal(number)
                self.assertEqual(server.wait(), status)
                server.wait_end()  # nobody holds its output: the children are gone
                self.assertTrue(server.out is not None and child)

    def test_interrupt_of_a_background_job(self):
        """A shell has it begin with SIGINT ignored."""
        server = Server(self, "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n" + textwrap.dedent(PROGRAM))
        server.process.send_signal(signal.SIGINT)
        self.assertEqual(server.wait(), 130)

    def test_exit(self):
        server = Server(self, PROGRAM)
        with self.assertRaises((OSError, http.client.HTTPException)):
            server.post(b"exit")
        self.assertEqual(server.wait(), 4)

    def test_queue_service(self):
        server = Server(self, """
            import os, threading
            import allspark
            service = allspark.Context().queued_service(os.environ["TEST_ENDPOINT"].encode())
            def serve():
                while True:
                    service.write(service.read())
            threads = [threading.Thread(target=serve) for _ in range(4)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
        """)
        for n in range(20):
            self.assertEqual(server.post(b"%d" % n), (200, b"%d" % n))

    def test_asynchronous(self):
        server = Server(self, """
            import os
            import allspark
            class P(allspark.BaseProcessor):
                def initialize(self): pass
                def async_process(self, data, request_id):
                    self.return_with_id(data, request_id)
            P(endpoint=os.environ["TEST_ENDPOINT"]).async_run()
        """)
        self.assertEqual(server.post(b"x"), (200, b"x"))

    def test_online(self):
        for variables in ({"NAMESPACE": "n", "POD_NAME": "p"}, {"WORKER_NAME": "easworker"}):
            variables.update(PAI_SERVING_PORT="0", TEST_ENDPOINT="127.0.0.1:1")
            server = Server(self, PROGRAM, env=variables)
            self.assertIn("[INFO] listening on 0.0.0.0:", server.output)
            self.assertEqual(server.post(b"x"), (200, b"x"))


class Endpoints(unittest.TestCase):
    def test_endpoints(self):
        sys.path.insert(0, SDK)
        self.addCleanup(sys.path.remove, SDK)
        from allspark._alone import listen_on

        for endpoint, want in [
            (None, ("0.0.0.0", 8080)),
            ("", ("0.0.0.0", 8080)),
            ("0.0.0.0:8079", ("0.0.0.0", 8079)),
            ("0.0.0.0:8000/", ("0.0.0.0", 8000)),
            (b"127.0.0.1:8080", ("127.0.0.1", 8080)),
            ("http://127.0.0.1:81/", ("127.0.0.1", 81)),
            (":9000", ("0.0.0.0", 9000)),
            ("9001", ("0.0.0.0", 9001)),
            ("[::1]:82", ("::1", 82)),
        ]:
            self.assertEqual(listen_on(endpoint), want, endpoint)
        for endpoint in ("host:", "1.2.3.4:99999", "1.2.3.4:http"):
            with self.assertRaises(ValueError):
                listen_on(endpoint)


EASCMD = """#!{python}
import json, os, sys
if sys.argv[1:] == ["serve", "--help"]:
    print("run plan")
    sys.exit()
assert sys.argv[1:3] == ["serve", "--plan-fd"], sys.argv
plan = json.loads(os.fdopen(int(sys.argv[3]), "rb").read().decode())
print("plan", json.dumps(plan), os.getpid(), flush=True)
"""


class WithEascmd(unittest.TestCase):
    """run() becomes `eascmd serve`. Here something else has its place, and shows
    what it was given."""

    SOURCE = PROGRAM.replace("P(2", "print('run', os.getpid(), flush=True); P(2")

    def setUp(self):
        self.tool = Program(self, EASCMD.replace("{python}", sys.executable), "eascmd")
        os.chmod(self.tool.path, 0o755)

    def plan(self, **env):
        program = Program(self, self.SOURCE)
        variables = environment(PYTHONPATH=SDK, TEST_ENDPOINT="127.0.0.1:8123/", TEST_TOKEN="top secret")
        variables.update(env)
        program.start([sys.executable, "-O", program.path, "one", "two"], variables)
        self.assertEqual(program.wait(), 0, program.output)
        program.wait_end()
        run, plan = [line for line in program.output.splitlines() if line.startswith(("run", "plan"))]
        word, _, pid = plan.rpartition(" ")
        self.assertEqual(run, "run " + pid)  # it is the same process
        return program, json.loads(word[len("plan "):])

    def test_named(self):
        program, plan = self.plan(EASCMD=self.tool.path)
        self.assertEqual(plan["processor"], {"dir": program.dir, "entry": program.path, "modelEntry": ""})
        self.assertEqual(plan["name"], "app")
        command = plan["worker"]["command"]
        self.assertEqual(command[0], sys.executable)
        self.assertIn("-O", command)
        self.assertEqual(command[-4:], [os.path.join(SDK, "allspark", "_launch.py"), program.path, "one", "two"])
        gateway = plan["gateway"]
        self.assertEqual((gateway["host"], gateway["port"], gateway["token"]), ("127.0.0.1", 8123, "top secret"))
        self.assertEqual((gateway["keepAliveMs"], gateway["maxQueueSize"]), (5000, 64))
        self.assertNotIn("top secret", json.dumps(plan["properties"]))

    def test_on_path(self):
        self.plan(EASCMD=None, PATH=self.tool.dir + os.pathsep + os.environ["PATH"])

    def test_not_this_one(self):
        """The vendor's tool has the same name."""
        vendor = Program(self, "#!/bin/sh\nexit 1\n", "eascmd")
        os.chmod(vendor.path, 0o755)
        server = Server(self, self.SOURCE, env={"EASCMD": None, "PATH": vendor.dir + os.pathsep + "/usr/bin" + os.pathsep + "/bin"})
        self.assertEqual(server.post(b"x"), (200, b"x"))

    def test_named_one_is_missing(self):
        server = Server(self, self.SOURCE, wait=False, env={"EASCMD": "/nonexistent/eascmd"})
        self.assertEqual(server.wait(), 1)
        server.wait_output("the variable EASCMD names /nonexistent/eascmd, which is no program")

    def test_called_by_something_else(self):
        """A test that calls run() of a program must not be started again."""
        server = Server(self, """
            import os, runpy
            os.chdir(os.path.dirname(os.path.abspath(__file__)))
            open("mine.py", "w").write('''
            import os, allspark
            class P(allspark.BaseProcessor):
                def initialize(self): pass
                def process(self, data): return b"in the same process", 200
            def main():
                P(endpoint=os.environ["TEST_ENDPOINT"]).run()
            '''.replace("\\n            ", "\\n"))
            import mine
            mine.main()
        """, env={"EASCMD": self.tool.path})
        self.assertEqual(server.post(b"x"), (200, b"in the same process"))


class Calls(unittest.TestCase):
    """One service calls another."""

    def setUp(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = ("%s %s %s" % (self.path, self.headers.get("Authorization"), body.decode())).encode()
                self.send_response(500 if body == b"fail" else 200)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        thread = threading.Thread(target=self.server.serve_forever)
        thread.daemon = True
        thread.start()
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        sys.path.insert(0, SDK)
        self.addCleanup(sys.path.remove, SDK)
        import allspark

        self.allspark = allspark
        self.address = "127.0.0.1:%d" % self.server.server_port

    def test_channel(self):
        channel = self.allspark.Context(1).channel("http://%s/path" % self.address)
        self.assertEqual(channel.request(b"x"), b"/path None x")
        self.assertEqual(self.allspark.Channel(self.address).request(b"y"), b"/ None y")
        with self.assertRaises(self.allspark.ServiceError) as caught:
            channel.request(b"fail")
        self.assertEqual((caught.exception.status, caught.exception.body), (500, b"/path None fail"))
        got, done = [], threading.Semaphore(0)

        def take(*args, **kwargs):
            got.append((args[0], args[1:], kwargs))
            done.release()

        channel.async_request(b"x", take, None, 1, two=2)
        channel.async_request(b"fail", None, lambda e, *a, **k: take(type(e).__name__, *a, **k), 1, two=2)
        for _ in range(2):
            self.assertTrue(done.acquire(timeout=PATIENCE))
        self.assertEqual(sorted(got, key=repr), [("ServiceError", (1,), {"two": 2}), (b"/path None x", (1,), {"two": 2})])

    def test_service_caller(self):
        properties = self.allspark.default_properties()
        properties.put("rpc.proxy_url", "")
        with self.assertRaises(RuntimeError):
            self.allspark.ServiceCaller.call("other", "t", b"x")
        properties.put("rpc.proxy_url", "http://" + self.address)
        self.assertEqual(self.allspark.ServiceCaller.call("other", "t", b"x"), b"/api/predict/other t x")
        got, done = {}, threading.Semaphore(0)

        class Caller(self.allspark.ServiceCaller):
            def success_callback(self, x, rid):
                got[rid] = x
                done.release()

            def error_callback(self, x, rid):
                got[rid] = x.status
                done.release()

        caller = Caller(1000, connection_concurrency=2)
        for n in range(10):
            caller.async_call("other", "t", b"%d" % n if n else b"fail", n)
        for _ in range(10):
            self.assertTrue(done.acquire(timeout=PATIENCE))
        self.assertEqual(got[0], 500)
        self.assertEqual(got[9], b"/api/predict/other t 9")
        caller.set_callback(lambda x, rid: caller.success_callback(b"set", rid))
        caller.async_call("other", "t", b"x", 10)
        self.assertTrue(done.acquire(timeout=PATIENCE))
        self.assertEqual(got[10], b"set")


if __name__ == "__main__":
    unittest.main()
