"""BaseProcessor and the worker around it: what programs written for the original
SDK rely on."""
import errno
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import unittest

from harness import (
    CANCEL, DRAIN, DRAINED, EXCEPTION, FAILED, FRAMES, HEADER, LARGEST, MORE, PING, PONG, REQUEST, SDK, Worker,
    decode,
)

ECHO = """
import allspark

class P(allspark.BaseProcessor):
    def initialize(self):
        pass

    def process(self, data):
        return data, 200
"""

RUN = """
if __name__ == "__main__":
    P({}).run()
"""


class Programs(unittest.TestCase):
    """The shapes that programs have."""

    def echoes(self, source, threads=5, concurrency=None, **more):
        worker = Worker(self, source, threads, **more)
        self.assertEqual(worker.post(b"x"), (200, b"x"))
        if concurrency is not None:
            self.assertEqual(worker.ready["concurrency"], str(concurrency))
        worker.drain()
        return worker

    def test_arguments(self):
        for arguments, start, concurrency in [
            ("", 7, 7),  # of the service
            ("10", 7, 10),  # all of them positional, what the program says counts
            ("5", 7, 5),
            ("3, 4", 7, 3),
            ("3, 4, 1", 7, 3),
            ("3, 4, 1, '0.0.0.0:8000/'", 7, 3),
            ("endpoint='127.0.0.1:8080', worker_threads=2", 7, 2),
            ("worker_processes=2, io_threads=1, worker_threads=2", 7, 2),
        ]:
            with self.subTest(arguments):
                self.echoes(ECHO + RUN.format(arguments), start, concurrency)

    def test_inherited_constructor(self):
        self.echoes("""
            import allspark
            class Base(allspark.BaseProcessor):
                def __init__(self, *args, **kwargs):
                    self.before = 1
                    self.endpoint = "mine"
                    super().__init__(*args, **kwargs)
                    self.after = 2
                def initialize(self):
                    from json import dumps
                    self.dumps = dumps
            class P(Base):
                def process(self, data):
                    assert (self.before, self.after, self.endpoint) == (1, 2, "mine")
                    self.dumps({})
                    return data, 200
            runner = P(worker_threads=2)
            runner.run()
        """, concurrency=2)

    def test_constructor_that_does_not_call_the_base(self):
        self.echoes(ECHO + "    def __init__(self): self.x = 1\n" + RUN.format(""), 4, 4)

    def test_run_under_another_name(self):
        self.echoes("from allspark import BaseProcessor as B\nclass P(B):\n    def initialize(self): pass\n"
                    "    def process(self, data): return data, 200\nP().run()\n")

    def test_run_on_a_thread(self):
        self.echoes(ECHO + "import threading\nt = threading.Thread(target=P().run)\nt.start()\n")

    def test_threads_left_behind(self):
        self.echoes(ECHO.replace("        pass\n", """
        import threading, time
        for _ in range(100):
            threading.Thread(target=time.sleep, args=(1000,)).start()
            t = threading.Thread(target=time.sleep, args=(1000,)); t.setDaemon(True); t.start()
""") + RUN.format(""))

    def test_text_in_another_locale(self):
        worker = self.echoes(ECHO.replace("return data", "print('\\u4f60\\u597d', flush=True); return data") + RUN.format(""),
                             env={"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
        self.assertNotIn("Traceback", worker.output)

    def test_main_is_the_program(self):
        worker = Worker(self, """
            import pickle, sys
            import allspark
            class Thing(object):
                pass
            class P(allspark.BaseProcessor):
                def initialize(self):
                    self.thing = pickle.loads(pickle.dumps(Thing()))
                def process(self, data):
                    return repr((__name__, __file__, sys.argv, sys.path[0], type(self.thing).__module__)), 200
            P().run()
        """, arguments=["one", "two"])
        expected = repr(("__main__", worker.path, [worker.path, "one", "two"], worker.dir, "__main__"))
        self.assertEqual(worker.post(b""), (200, expected.encode()))

    def test_launcher_inside_the_package(self):
        self.echoes(ECHO + RUN.format(""), launcher=os.path.join("allspark", "_launch.py"))

    def test_own_allspark_wins(self):
        worker = Worker(self, "import allspark\nallspark.serve()\n", wait=False, env={"PYTHONPATH": self.other_allspark()})
        worker.wait_output("the other allspark serves")
        worker.send(PING, b"?")
        self.assertEqual(worker.expect(PONG)[3], b"?")
        self.assertNotIn(FRAMES, worker.seen)
        worker.drain()

    def other_allspark(self):
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        with open(os.path.join(directory, "allspark.py"), "w") as f:
            f.write("import time\ndef serve():\n    print('the other allspark serves', flush=True)\n    time.sleep(1000)\n")
        return directory

    def test_lines_printed(self):
        worker = self.echoes(ECHO + RUN.format(""))
        worker.wait_end()
        self.assertEqual(worker.output, "[INFO] waiting for service initialization to complete...\n"
                                        "[INFO] service initialization complete\n")

    def test_frames_is_said_first(self):
        worker = Worker(self, ECHO + RUN.format(""))
        self.assertEqual(worker.seen[0], FRAMES)
        self.assertTrue(worker.hello["host"].startswith("python 3."))

    def test_model_path(self):
        source = ECHO.replace("data, 200", "self.get_model_path(), 200") + RUN.format("")
        self.assertEqual(Worker(self, source, env={"EAS_MODEL_DIR": "/the/model"}).post(b"")[1], b"/the/model")
        self.assertEqual(Worker(self, source, start={"prop.eas.workspace": "/w"}).post(b"")[1], b"/w/model")

    def test_flags_of_compilers(self):
        worker = Worker(self, """
            import allspark
            class P(allspark.BaseProcessor):
                def initialize(self):
                    pass
                def process(self, data):
                    getattr(allspark, data.decode())()
            P().run()
        """)
        for name in (b"cflags", b"ldflags"):
            status, body = worker.post(name)
            self.assertEqual(status, 400)
            self.assertTrue(body.startswith(b"[NotImplementedError] in processor: this allspark is pure Python"), body)


class Failures(unittest.TestCase):
    """What FAILED says, and what is printed, when a program does not load."""

    def fails(self, source, hint="", **more):
        self.last = worker = Worker(self, source, wait=False, **more)
        failed = decode(worker.expect(FAILED)[3])
        self.assertIn(hint, failed["hint"])
        self.assertEqual(worker.wait(), 1)
        worker.wait_end()
        return failed["message"], worker.output

    def test_missing_initialize(self):
        source = "import allspark\nclass P(allspark.BaseProcessor):\n    pass\nP().run()\n"
        message, output = self.fails(source, hint="define initialize(self)")
        self.assertEqual(message, "app.py:4: Exception: initialize not implemented")
        self.assertIn("Traceback", output)

    def test_exception_in_initialize(self):
        message, output = self.fails(ECHO.replace("        pass", "        open('model.bin')") + RUN.format(""))
        self.assertTrue(message.startswith("app.py:6: FileNotFoundError: "), message)
        self.assertIn("Traceback", output)
        self.assertNotIn("_launch.py", output)

    def test_frames_of_a_traceback(self):
        """They are the program's alone, wherever allspark is."""
        source = ECHO.replace("        pass", "        try:\n            1 / 0\n        except Exception:\n            self.fail()")
        source += "\n    def fail(self):\n        raise ValueError('no model')\n" + RUN.format("")
        installed = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, installed)
        shutil.copytree(os.path.join(SDK, "allspark"), os.path.join(installed, "allspark"))
        for path in (None, installed):
            output = self.fails(source, env={"PYTHONPATH": path} if path else {})[1]
            self.assertEqual(re.findall(r'File "(.*)", line \d+, in (\S+)', output), [
                (os.path.join(self.last.dir, "app.py"), name) for name in ("initialize", "<module>", "initialize", "fail")
            ], output)

    def test_missing_module(self):
        self.fails("import cv2_\n", hint="`%s -m pip install cv2_`" % sys.executable)
        source = "import os, sys\nos.symlink(sys.prefix, 'ENV')\nimport no_such_module.inner\n"
        self.fails(source, hint="processor: `ENV/bin/python -m pip install no_such_module`")

    def test_another_allspark(self):
        source = "from allspark import BaseProcessor\n"
        self.fails(source, hint="eascmd pysdk wheel", env={"PYTHONPATH": Programs.other_allspark(self)})
        self.fails("import allspark.no_such_module\n")

    def test_exception_in_a_library(self):
        message, _ = self.fails("import json\n\njson.loads('{')\n")
        self.assertTrue(message.startswith("app.py:3: JSONDecodeError: "), message)

    def test_syntax_error(self):
        message, output = self.fails("x = 1\n\ndef f(:\n    pass\n")
        self.assertTrue(message.startswith("app.py:3: SyntaxError: "), message)
        self.assertIn("app.py\", line 3", output)

    def test_nul_byte(self):
        message, _ = self.fails("x = 1\ny = '\0'\n")
        self.assertTrue(message.startswith("app.py:2: SyntaxError: "), message)

    def test_long_message(self):
        message, _ = self.fails("raise ValueError('l' * 1000000)\n")
        self.assertTrue(message.startswith("app.py:1: ValueError: lll"), message[:100])
        self.assertLess(len(message), 10000)

    def test_process_missing(self):
        source = "import allspark\nclass P(allspark.BaseProcessor):\n    def initialize(self): pass\nP().run()\n"
        self.assertEqual(Worker(self, source).post(b"")[1], b"[Exception] in processor: process not implemented")

    def test_child_process_that_does_not_load(self):
        source = ECHO.replace("        pass", "        raise ValueError('no model')") + RUN.format("worker_processes=2")
        message, output = self.fails(source)
        self.assertTrue(message.startswith("app.py:6: ValueError: no model"), message)
        self.assertRegex(output, r"\[ERROR\] subprocess \d+ exits with status 1\n")

    def test_ends_without_serving(self):
        for source in ("import allspark\n", "import sys; sys.exit()\n"):
            self.assertEqual(self.fails(source)[0], "app.py ended without serving")

    def test_exit_status_is_kept(self):
        worker = Worker(self, "import sys; sys.exit(5)\n", wait=False)
        self.assertEqual(worker.wait(), 5)

    def test_wrong_arguments(self):
        for arguments in ("worker_threads=0", "worker_processes=-1", "worker_threads=100000"):
            message, _ = self.fails(ECHO + RUN.format(arguments))
            self.assertIn("is to be between 1 and 1024", message)


SLOW = """
import os, threading, time
import allspark

class P(allspark.BaseProcessor):
    def initialize(self):
        self.gate = threading.Event()
        self.barrier = threading.Barrier(5)

    def process(self, data):
        if data == b"meet":
            self.barrier.wait(30)
        elif data == b"wait":
            self.gate.wait(30)
        elif data == b"open":
            self.gate.set()
        elif data == b"close files":
            os.closerange(3, 256)
        elif data == b"fork":
            pid = os.fork()
            if pid == 0:
                time.sleep(1000)
            return str(pid), 200
        return data, 200
"""


class Ends(unittest.TestCase):
    """What a program does to itself is seen."""

    SOURCE = """
import ctypes, os, sys, threading, time
import allspark

class P(allspark.BaseProcessor):
    def initialize(self):
        pass

    def process(self, data):
        if data == b"segfault":
            ctypes.string_at(0)
        elif data == b"loop":
            while True:
                pass
        elif data == b"unfinished line":
            sys.stdout.write("no line feed")
            os._exit(3)
        return data, 200

P(2).run()
"""

    def test_segfault(self):
        worker = Worker(self, self.SOURCE)
        worker.request(b"segfault")
        self.assertEqual(worker.wait(), -signal.SIGSEGV)
        worker.wait_match(r"(?s)Fatal Python error: Segmentation fault.*app\.py\", line 11 in process")

    def test_endless_loop(self):
        worker = Worker(self, self.SOURCE)
        worker.request(b"loop")
        self.assertEqual(worker.post(b"beside it"), (200, b"beside it"))
        worker.send(PING, b"?")
        self.assertEqual(worker.expect(PONG)[3], b"?")
        worker.send(DRAIN)
        worker.connection.shutdown(socket.SHUT_RDWR)
        worker.wait()

    def test_unfinished_line(self):
        worker = Worker(self, self.SOURCE)
        worker.request(b"unfinished line")
        self.assertEqual(worker.wait(), 3)
        worker.wait_output("no line feed")


class Threads(unittest.TestCase):
    def test_five_at_the_same_time(self):
        worker = Worker(self, SLOW + RUN.format(""))
        for _ in range(3):
            for rid in [worker.request(b"meet") for _ in range(5)]:
                self.assertEqual(worker.answer(rid)[2], b"meet")

    def test_who_says_how_many(self):
        for said, threads, argument, put, want, warns in (
            ("", 5, "", "", 5, False),
            ("", 5, "", "3", 3, False),
            ("", 5, "2", "3", 2, False),
            ("description", 9, "", "", 9, False),
            ("description", 9, "", "3", 9, False),
            ("description", 9, "2", "", 2, True),
            ("description", 9, "9", "", 9, False),
            ("caller", 1, "5", "", 1, False),
            ("caller", 1, "", "3", 1, False),
        ):
            case = (said, threads, argument, put)
            source = ECHO.replace("pass", "allspark.default_properties().put('rpc.worker_threads', %s)" % put) if put else ECHO
            worker = Worker(self, source + RUN.format(argument), threads=threads, start={"threads.from": said} if said else {})
            self.assertEqual(worker.ready["concurrency"], str(want), case)
            self.assertEqual(worker.post(b"x"), (200, b"x"))
            worker.drain()
            worker.wait_end()
            warning = "[WARNING] worker_threads=2 of the program counts, and not rpc.worker_threads 9 of the service description"
            self.assertEqual(worker.output.count(warning), int(warns), case)
            self.assertEqual("WARNING" in worker.output, warns, case)

    def test_nothing_waits_behind_a_slow_one(self):
        worker = Worker(self, SLOW + RUN.format("2"))
        for _ in range(200):
            worker.post(b"fast")
        slow = worker.request(b"wait")
        for _ in range(200):
            worker.post(b"fast")
        worker.post(b"open")
        self.assertEqual(worker.answer(slow)[2], b"wait")

    def test_answers_before_a_slow_one_are_sent(self):
        worker = Worker(self, SLOW + RUN.format("1"))
        worker.post(b"warm")
        first, slow = worker.request(b"first"), worker.request(b"wait")
        self.assertEqual(worker.answer(first)[2], b"first")
        worker.send(PING, b"p")
        self.assertEqual(worker.expect(PONG)[3], b"p")
        waiting = worker.request(b"never begun")
        worker.send(CANCEL, rid=waiting)
        self.assertEqual(worker.answer(waiting), (499, 0, b""))
        self.assertNotIn(slow, worker.answers)

    def test_closed_files(self):
        for threads in ("1", "3"):
            worker = Worker(self, SLOW + RUN.format(threads))
            worker.request(b"close files")
            self.assertEqual(worker.wait(), 3)
            worker.wait_output("eashost: the processor closed the descriptor of the gateway")

    def test_forked_child_has_no_connection(self):
        worker = Worker(self, SLOW + RUN.format(""))
        child = int(worker.post(b"fork")[1])
        os.kill(worker.process.pid, signal.SIGKILL)
        self.assertEqual(worker.stream.read(), b"")  # end-of-file, although the child lives
        os.kill(child, 0)


class Children(unittest.TestCase):
    SOURCE = """
import os, time
import allspark

class P(allspark.BaseProcessor):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.unpicklable = lambda: 0

    def initialize(self):
        self.pid = os.getpid()

    def process(self, data):
        if data == b"pid":
            time.sleep(0.05)
            return str(self.pid), 200
        if data.startswith(b"exit"):
            os._exit(int(data[4:]))
        if data == b"hang":
            time.sleep(1000)
        return data, 200

P(worker_processes=2).run()
"""

    def test_they_share_the_work(self):
        worker = Worker(self, self.SOURCE)
        self.assertEqual(worker.ready["concurrency"], "2")
        worker.wait_match("^" + re.escape("[INFO] all subprocesses have finished initialization\n") + "$")
        pids = {worker.answer(rid)[2] for rid in [worker.request(b"pid") for _ in range(20)]}
        self.assertEqual(len(pids), 2)
        self.assertNotIn(str(worker.process.pid).encode(), pids)
        body = bytes(bytearray(range(256))) * 8000
        self.assertEqual(worker.post(body), (200, body))
        worker.drain()
        self.gone(pids)

    def gone(self, pids):
        deadline = time.monotonic() + 30
        for pid in pids:
            while alive(int(pid)):
                self.assertLess(time.monotonic(), deadline, "process %s lives on" % pid)
                time.sleep(0.01)

    def test_death_of_one_ends_all(self):
        for code, status, text in (("7", 7, "7"), ("0", 0, "0")):
            worker = Worker(self, self.SOURCE)
            pids = {worker.answer(rid)[2] for rid in [worker.request(b"pid") for _ in range(8)]}
            worker.request(b"exit" + code.encode())
            self.assertEqual(worker.wait(), status)
            worker.wait_output("exited with status code %s\n" % text)
            self.assertRegex(worker.output, r"\[ERROR\] subprocess \d+ exited")
            self.gone(pids)

    def test_they_know_the_service(self):
        source = self.SOURCE.replace("return data, 200", "return allspark.default_properties().get(data.decode()), 200")
        worker = Worker(self, source, start={"model_config": "what", "prop.own": "1"})
        self.assertEqual(worker.post(b"model_config"), (200, b"what"))
        self.assertEqual(worker.post(b"own"), (200, b"1"))

    def test_death_while_loading(self):
        worker = Worker(self, self.SOURCE.replace("self.pid = os.getpid()", "os._exit(6)"), wait=False)
        self.assertEqual(worker.wait(), 6)
        worker.wait_output("exits with status 6\n")

    def test_end_of_the_parent(self):
        worker = Worker(self, self.SOURCE)
        pids = {worker.answer(rid)[2] for rid in [worker.request(b"pid") for _ in range(8)]}
        worker.request(b"hang")
        os.kill(worker.process.pid, signal.SIGKILL)
        self.gone(pids)

    def test_drain_waits(self):
        worker = Worker(self, self.SOURCE)
        rids = [worker.request(b"pid") for _ in range(6)]
        worker.send(DRAIN)
        for rid in rids:
            self.assertEqual(worker.answer(rid)[0], 200)
        worker.expect(DRAINED)
        self.assertEqual(worker.wait(), 0)


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except OSError as e:
        return e.errno == errno.EPERM
    return not os.path.isdir("/proc/self")


class Asynchronous(unittest.TestCase):
    SOURCE = """
        import threading
        import allspark
        class P(allspark.BaseProcessor):
            def initialize(self):
                pass
            def async_process(self, data, request_id):
                if data == b"raise":
                    raise ValueError("at once")
                threading.Thread(target=self.later, args=(data, request_id)).start()
            def later(self, data, request_id):
                if data == b"error":
                    self.error_with_id(404, b"not there", request_id)
                else:
                    self.return_with_id(0.5 if data == b"float" else data, request_id)
                try:
                    self.return_with_id(b"again", request_id)
                except ValueError as e:
                    print("refused:", e, flush=True)
        P(2).%s()
    """

    def check(self, source):
        worker = Worker(self, source)
        self.assertGreaterEqual(int(worker.ready["concurrency"]), 64)
        rids = [worker.request(b"%d" % n) for n in range(100)]
        for n, rid in enumerate(rids):
            self.assertEqual(worker.answer(rid), (200, 0, b"%d" % n))
        self.assertEqual(worker.post(b"float"), (200, b"0.5"))
        self.assertEqual(worker.post(b"error"), (404, b"not there"))
        self.assertEqual(worker.answer(worker.request(b"raise")), (400, EXCEPTION, b"[ValueError] in processor: at once"))
        worker.wait_output("refused: there is no request")
        worker.drain()

    def test_async_run(self):
        self.check(self.SOURCE % "async_run")

    def test_run(self):
        self.check(self.SOURCE % "run")


class LargeBodies(unittest.TestCase):
    SOURCE = ECHO.replace("return data", "assert type(data) is bytes\n        return data") + RUN.format("")

    def test_every_size(self):
        """Around what one system call reads, and what a frame holds."""
        worker = Worker(self, self.SOURCE)
        bodies = []
        for size in (65519, 65520, 65521, 65535, 65536, LARGEST - 16, LARGEST, LARGEST + 1, 2 * LARGEST, 2 * LARGEST + 7, 9 << 20):
            bodies.append(os.urandom(1024) * (size // 1024) + b"x" * (size % 1024))
        for body in bodies:
            self.assertTrue(worker.post(body) == (200, body), len(body))
        sender = threading.Thread(target=lambda: [worker.request(body) for body in bodies])  # one behind the other
        sender.start()
        for n, body in enumerate(bodies):
            self.assertTrue(worker.answer(len(bodies) + n + 1) == (200, 0, body), len(body))
        sender.join()

    def test_frames_between_frames(self):
        worker = Worker(self, self.SOURCE)
        a, b = os.urandom(LARGEST), os.urandom(LARGEST)
        worker.send(REQUEST, a, MORE, 100)
        worker.send(REQUEST, b[:100000], MORE, 200)
        worker.send(PING, b"?" * 100000)
        self.assertEqual(worker.expect(PONG)[3], b"?" * 100000)
        worker.send(REQUEST, b"small", 0, 300)
        worker.send(REQUEST, b"", MORE, 100)
        self.assertEqual(worker.answer(300)[2], b"small")
        worker.send(REQUEST, b, MORE, 200)
        worker.send(CANCEL, b"", 0, 200)
        worker.send(REQUEST, a, 0, 200)
        self.assertEqual(worker.answer(200), (499, 0, b""))
        worker.send(REQUEST, b, 0, 100)
        self.assertTrue(worker.answer(100)[2] == a + b)

    def test_what_came_before_does_not_wait(self):
        worker = Worker(self, self.SOURCE)
        head = HEADER.pack(200000, REQUEST, 0, 0, 2)
        worker.connection.sendall(HEADER.pack(5, REQUEST, 0, 0, 1) + b"small" + head + b"x" * 70000)
        self.assertEqual(worker.answer(1)[2], b"small")
        for _ in range(130):
            worker.connection.sendall(b"x" * 1000)
        self.assertTrue(worker.answer(2)[2] == b"x" * 200000)

    def test_end_in_the_middle(self):
        worker = Worker(self, self.SOURCE)
        worker.connection.sendall(HEADER.pack(200000, REQUEST, 0, 0, 2) + b"x" * 100000)
        worker.stream.close()
        worker.connection.close()
        worker.wait()

    def test_a_frame_that_is_none(self):
        worker = Worker(self, self.SOURCE)
        worker.send(REQUEST, b"x" * LARGEST, MORE, 1)
        worker.connection.sendall(HEADER.pack(LARGEST + 1, REQUEST, 0, 0, 1))
        self.assertEqual(worker.wait(), 3)
        worker.wait_output("a frame of %d bytes" % (LARGEST + 1))


class Properties(unittest.TestCase):
    SOURCE = """
        import allspark
        properties = allspark.default_properties()
        properties.put("rpc.keepalive", 500000)
        changes = []
        @properties.listen("watched")
        def watched(value):
            changes.append(value)
        properties.listen("watched", lambda name, value: changes.append((name, value)))
        class P(allspark.BaseProcessor):
            def initialize(self):
                properties.put("rpc.max_queue_size", "10")
                properties.put("rpc.worker_threads", 3)
                properties.put("watched", 1)
                properties.put("watched", 1)
                properties.put("watched", 2.5)
            def process(self, data):
                if data == b"changes":
                    return changes, 200
                name, _, default = data.decode().partition("=")
                value = properties.get(name, default.encode()) if default else properties.get(name)
                assert type(value) is bytes
                return value, 200
        P().run()
    """

    def test_properties(self):
        worker = Worker(self, self.SOURCE, start={"prop.rpc.rate_limit": "9", "prop.own.name": "\u4f60"},
                        env={"SERVICE_CONFIG": '{"rpc": {"batching": true, "own": {"a": 1.5}}, "own.name": "hidden"}'})
        self.assertEqual(worker.properties, {"rpc.keepalive": "500000", "rpc.max_queue_size": "10",
                                             "rpc.worker_threads": "3", "watched": "2.5"})
        self.assertEqual(worker.ready["concurrency"], "3")
        for name, value in [
            ("rpc.keepalive", b"500000"),
            ("rpc.rate_limit", b"9"),
            ("own.name", "\u4f60".encode("utf-8")),
            ("rpc.batching", b"true"),
            ("rpc.own.a", b"1.5"),
            ("nothing", b""),
            ("nothing=other", b"other"),
            ("rpc.http.default_headers", b"Content-Type: text/html; charset=utf-8"),
        ]:
            self.assertEqual(worker.post(name.encode()), (200, value), name)
        self.assertEqual(worker.post(b"changes")[1], b"[b'1', ('watched', b'1'), b'2.5', ('watched', b'2.5')]")

    def test_configuration_file(self):
        worker = Worker(self, """
            import allspark, os
            os.mkdir("config")
            open("config/config.json", "w").write('{"from": {"file": "yes"}, "both": "file"}')
            class P(allspark.BaseProcessor):
                def initialize(self): pass
                def process(self, data): return allspark.default_properties().get(data.decode()), 200
            P().run()
        """, env={"SERVICE_CONFIG": '{"both": "variable"}'})
        self.assertEqual(worker.post(b"from.file"), (200, b"yes"))
        self.assertEqual(worker.post(b"both"), (200, b"file"))

    def test_configuration_that_is_none(self):
        worker = Worker(self, ECHO + "allspark.default_properties()\n" + RUN.format(""), env={"SERVICE_CONFIG": "{"})
        self.assertEqual(worker.post(b"x"), (200, b"x"))
        worker.wait_output("[WARNING] env:SERVICE_CONFIG is not merged")


class Queue(unittest.TestCase):
    def test_threads_that_never_end(self):
        worker = Worker(self, """
            import threading, time
            import allspark
            allspark.default_properties().put("rpc.keepalive", 10000)
            context = allspark.Context(4)
            service = context.queued_service("0.0.0.0:8079")
            def serve():
                while True:
                    data = service.read()
                    try:
                        if data == b"fail":
                            raise ValueError()
                        time.sleep(0.001)
                        service.write(data)
                    except ValueError:
                        service.error(500, b"invalid data format")
            threads = []
            for _ in range(10):
                t = threading.Thread(target=serve)
                t.setDaemon(True)
                t.start()
                threads.append(t)
            for t in threads:
                t.join()
        """)
        self.assertEqual(worker.properties, {"rpc.keepalive": "10000", "health.model_ready": "1"})
        rids = [worker.request(b"%d" % n) for n in range(100)]
        for n, rid in enumerate(rids):  # each thread answers what it has read
            self.assertEqual(worker.answer(rid)[2], b"%d" % n)
        self.assertEqual(worker.post(b"fail"), (500, b"invalid data format"))
        worker.drain()

    def test_every_method(self):
        worker = Worker(self, """
            import allspark
            service = allspark.Context().queued_service()
            @service.inject("/path", token="t")
            def handler(*args):
                pass
            while True:
                first = service.read()
                if first == b"batch":
                    service.write(b"begin")
                    bodies = []
                    while len(bodies) < 3:
                        more = service.read_upto(3 - len(bodies), 20)
                        bodies += more
                        service.write_many([(404, b) if b == b"b" else b for b in more])
                elif first == b"ids":
                    service.write(b"begin")
                    body, one = service.read_with_id()
                    body2, two = service.read_with_id()
                    service.error_with_id(409, body2, two)
                    service.write_with_id(body, one)
                elif first == b"wrong":
                    errors = []
                    for what in (lambda: service.write("text"), lambda: service.write_with_id(b"x", 12345)):
                        try:
                            what()
                        except Exception as e:
                            errors.append(type(e).__name__)
                    try:
                        service.write(" ".join(errors).encode())
                    except RuntimeError:
                        print(errors, "nothing left to answer", flush=True)
                elif first == b"nothing":
                    service.write(b"begin")
                    print("read", service.read_upto(5, 1), flush=True)
        """)
        worker.wait_output("inject('/path')")
        self.assertEqual(worker.post(b"batch"), (200, b"begin"))
        answers = [worker.answer(rid) for rid in [worker.request(b) for b in (b"a", b"b", b"c")]]
        self.assertEqual(answers, [(200, 0, b"a"), (404, 0, b"b"), (200, 0, b"c")])
        self.assertEqual(worker.post(b"ids"), (200, b"begin"))
        answers = [worker.answer(rid) for rid in [worker.request(b) for b in (b"1", b"2")]]
        self.assertEqual(answers, [(200, 0, b"1"), (409, 0, b"2")])
        self.assertEqual(worker.post(b"nothing"), (200, b"begin"))
        worker.wait_output("read []")
        # Text is refused, and the request can still be answered.
        self.assertEqual(worker.post(b"wrong"), (200, b"TypeError ValueError"))

    def test_ready_when_the_queue_is_open(self):
        worker = Worker(self, """
            import allspark
            context = allspark.Context()
            print("loaded", flush=True)
            service = context.queued_service()
            service.read()
            service.write(b"the last")
            context.stop()
        """)
        worker.wait_output("loaded")
        self.assertEqual(worker.ready["concurrency"], "64")
        self.assertEqual(worker.post(b"x"), (200, b"the last"))
        self.assertEqual(worker.wait(), 0)


if __name__ == "__main__":
    unittest.main()
