"""The reply rules, row by row, over frames and over HTTP."""
import unittest

from harness import Server, Worker

TWO_VALUES = b"[Exception] in processor: ERROR: The process() function should return two values,"

# name, what process() evaluates (or raises), HTTP status, body.
# A body that is a function is told what came.
ROWS = [
    # Status.
    ("status 0 is 200", "(b'x', 0)", 200, b"x"),
    ("status 200", "(b'x', 200)", 200, b"x"),
    ("status 201", "(b'x', 201)", 201, b"x"),
    ("status 400 with bytes", "(b'bad', 400)", 400, b"bad"),
    ("status 404", "(b'none', 404)", 404, b"none"),
    ("status 500", "(b'oops', 500)", 500, b"oops"),
    ("status 599", "(b'x', 599)", 599, b"x"),
    ("unknown status 600 is 400", "(b'x', 600)", 400, b"x"),
    ("unknown status 1 is 400", "(b'x', 1)", 400, b"x"),
    ("status 199 is 400", "(b'x', 199)", 400, b"x"),
    ("negative status is 400", "(b'x', -1)", 400, b"x"),
    ("status 65534 is 400", "(b'x', 65534)", 400, b"x"),
    ("status 65535 is 400", "(b'x', 65535)", 400, b"x"),
    ("status 65736 is not 200", "(b'x', 65736)", 400, b"x"),
    ("huge status is 400", "(b'x', 10 ** 30)", 400, b"x"),
    ("status True is the number 1", "(b'x', True)", 400, b"x"),
    ("status False is the number 0", "(b'x', False)", 200, b"x"),
    ("status of an enumeration", "(b'x', http.HTTPStatus.CREATED)", 201, b"x"),
    ("status of text is an exception", "(b'x', '200')", 400, lambda b: b.startswith(b"[TypeError] in processor: ") and b"'200'" in b),
    ("status of float is an exception", "(b'x', 200.0)", 400, lambda b: b.startswith(b"[TypeError] in processor: ")),
    ("status None is an exception", "(b'x', None)", 400, lambda b: b.startswith(b"[TypeError] in processor: ")),
    # Bodies.
    ("bytes", "(b'\\x00\\xff\\n', 200)", 200, b"\x00\xff\n"),
    ("no bytes", "(b'', 200)", 200, b""),
    ("bytes of a subclass", "(type('B', (bytes,), {})(b'sub'), 200)", 200, b"sub"),
    ("many bytes", "(b'm' * 1000000, 200)", 200, b"m" * 1000000),
    ("text is UTF-8", "('gr\\u00fc\\u00df \\u4f60', 200)", 200, "gr\u00fc\u00df \u4f60".encode("utf-8")),
    ("float", "(0.12, 0)", 200, b"0.12"),
    ("int", "(7, 0)", 200, b"7"),
    ("None", "(None, 0)", 200, b"None"),
    ("dict is Python's repr", "({'a': 1, 'b': None}, 0)", 200, b"{'a': 1, 'b': None}"),
    ("list is Python's repr", "(['a', 1.5], 0)", 200, b"['a', 1.5]"),
    ("bytearray is str() of it", "(bytearray(b'x'), 200)", 200, b"bytearray(b'x')"),
    ("memoryview is str() of it", "(memoryview(b'x'), 200)", 200, lambda b: b.startswith(b"<memory at ")),
    ("an object's __str__", "(type('O', (), {'__str__': lambda self: 'mine'})(), 200)", 200, b"mine"),
    ("text that is no Unicode", "('\\ud800', 200)", 400, lambda b: b.startswith(b"[UnicodeEncodeError] in processor: ")),
    ("an object without text", "(type('O', (), {'__str__': lambda self: 1 / 0})(), 200)", 400, b"[ZeroDivisionError] in processor: division by zero"),
    # Shapes.
    ("a tuple of a subclass", "collections.namedtuple('T', 'a b')(b'named', 200)", 200, b"named"),
    ("None", "None", 400, lambda b: b.startswith(TWO_VALUES) and b.count(b"\n") == 5),
    ("bytes alone", "b'plain'", 400, lambda b: b.startswith(TWO_VALUES) and b"return data, 200" in b),
    ("text alone", "'ab'", 400, lambda b: b.startswith(TWO_VALUES)),
    ("a list of two", "[b'x', 200]", 400, lambda b: b.startswith(TWO_VALUES)),
    ("a tuple of one", "(b'x',)", 400, lambda b: b.startswith(TWO_VALUES)),
    ("a tuple of three", "(b'x', 200, 1)", 400, lambda b: b.startswith(TWO_VALUES)),
    ("a generator", "(x for x in (b'x', 200))", 400, lambda b: b.startswith(TWO_VALUES)),
    # Exceptions.
    ("an exception", "raise ValueError('the message')", 400, b"[ValueError] in processor: the message"),
    ("a KeyError", "raise KeyError('k')", 400, b"[KeyError] in processor: 'k'"),
    ("an exception without text", "raise ValueError()", 400, b"[ValueError] in processor: "),
    ("an exception of the program's", "raise Mine('own')", 400, b"[Mine] in processor: own"),
    ("an exception in another script", "raise ValueError('\\u4f60')", 400, "[ValueError] in processor: \u4f60".encode("utf-8")),
    ("an exception whose text is no Unicode", "raise ValueError('\\ud800')", 400, b"[ValueError] in processor: \\ud800"),
    ("an exception whose str() raises", "raise Mute()", 400, lambda b: b.startswith(b"[Mute] in processor: ")),
    ("a long exception", "raise ValueError('l' * 300000)", 400, b"[ValueError] in processor: " + b"l" * 300000),
    ("a BaseException", "raise Odd('base')", 400, b"[Odd] in processor: base"),
    ("a GeneratorExit", "raise GeneratorExit()", 400, b"[GeneratorExit] in processor: "),
    ("an AssertionError", "raise AssertionError", 400, b"[AssertionError] in processor: "),
    ("endless recursion", "raise_recursion()", 400, lambda b: b.startswith(b"[RecursionError] in processor: ")),
]

PROGRAM = """
import collections
import http
import os
import sys

import allspark


class Mine(Exception):
    pass


class Odd(BaseException):
    pass


class Mute(Exception):
    def __str__(self):
        raise KeyError("mute")


def raise_recursion():
    return raise_recursion()


class Processor(allspark.BaseProcessor):
    def initialize(self):
        pass

    def process(self, data):
        if data == b"" or data.startswith(b"echo "):
            return data, 200
        text = data.decode("utf-8")
        if text.startswith("raise "):
            exec(text)
        return eval(text)


if __name__ == "__main__":
    Processor(endpoint=os.environ.get("TEST_ENDPOINT")).run()
"""

BODIES = [b"", b"echo \x00\xff", b"echo " + bytes(bytearray(range(256))) * 4000]


class Rows(object):
    """What a program answers, however it is served."""

    most_warnings = 1

    def test_rows(self):
        for name, code, status, body in ROWS:
            with self.subTest(name):
                got = self.program.post(code.encode("utf-8"))
                self.assertEqual(got[0], status, got[1][:200])
                if callable(body):
                    self.assertTrue(body(got[1]), got[1][:500])
                else:
                    self.assertEqual(got[1][:500], body[:500])
                    self.assertEqual(len(got[1]), len(body))
        # And it goes on.
        self.assertEqual(self.program.post(b"echo on"), (200, b"echo on"))

    def test_bodies_of_requests(self):
        for body in BODIES:
            self.assertEqual(self.program.post(body), (200, body))

    def test_numpy(self):
        try:
            import numpy  # noqa: F401
        except ImportError:
            self.skipTest("missing: numpy")
        for code, status, body in [
            ("(__import__('numpy').array([1, 2]), 200)", 200, b"[1 2]"),
            ("(__import__('numpy').float64(0.5), 0)", 200, b"0.5"),
            ("(__import__('numpy').array([1, 2], 'int8').tobytes(), __import__('numpy').int64(201))", 201, b"\x01\x02"),
        ]:
            self.assertEqual(self.program.post(code.encode()), (status, body))

    def test_traceback_is_printed(self):
        self.program.post(b"raise ValueError('seen on the terminal')")
        self.program.wait_output("Traceback (most recent call last)")
        self.program.wait_output("ValueError: seen on the terminal")
        text = self.program.output
        self.assertIn("app.py", text)
        self.assertNotIn("_worker.py", text)

    def test_warning_once(self):
        for _ in range(5):
            self.program.post(b"({'a': 1}, 0)")
        self.program.wait_output("[WARNING] process() returned a body of type dict")
        self.program.post(b"raise ValueError('behind it')")
        self.program.wait_output("ValueError: behind it")
        self.assertLessEqual(self.program.output.count("[WARNING]"), self.most_warnings, self.program.output)


class OverFrames(Rows, unittest.TestCase):
    def setUp(self):
        self.program = Worker(self, PROGRAM)


class OverFramesOneThread(Rows, unittest.TestCase):
    def setUp(self):
        self.program = Worker(self, PROGRAM, threads=1)


class OverHTTP(Rows, unittest.TestCase):
    def setUp(self):
        self.program = Server(self, PROGRAM)


class OverChildren(Rows, unittest.TestCase):
    most_warnings = 2  # one a process

    def setUp(self):
        self.program = Worker(self, PROGRAM.replace("endpoint=", "worker_processes=2, endpoint="))


class Exits(unittest.TestCase):
    """Exceptions that end a program end this one."""

    def check(self, code, status):
        worker = Worker(self, PROGRAM)
        before = worker.request(b"echo before")
        worker.request(code)
        self.assertEqual(worker.answer(before)[2], b"echo before")
        self.assertEqual(worker.wait(), status)

    def test_exit(self):
        self.check(b"sys.exit(9)", 9)

    def test_exit_at_once(self):
        self.check(b"os._exit(7)", 7)

    def test_interrupt(self):
        self.check(b"raise KeyboardInterrupt", 130)


if __name__ == "__main__":
    unittest.main()
