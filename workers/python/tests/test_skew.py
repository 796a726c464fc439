"""The host and the allspark of an environment may be of different versions."""
import ast
import glob
import os
import shutil
import tempfile
import unittest

from harness import EXCEPTION, FAILED, SDK, Worker, decode

# What allspark may use of the host's module, and of its Worker: what every host has.
MODULE = set(
    "Worker current settle leave exit_status parse_properties HEADER HEADER_SIZE MAX_PAYLOAD "
    "REQUEST RESPONSE READY FAILED PROPERTIES CANCEL MORE EXCEPTION OPTIONAL".split()
)
WORKER = set(
    "service descriptor frames settings send failed end serve open_queue take give stop_control read_once take_now".split()
)


class Skew(unittest.TestCase):
    def old(self, way, **more):
        """Start a program with an old allspark."""
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        shutil.copy(os.path.join(SDK, "tests", "allspark_1_0.py"), os.path.join(directory, "allspark.py"))
        source = """
            import allspark, sys
            def process(data):
                if data == b"raise":
                    raise KeyError("k")
                if data == b"exit":
                    sys.exit(7)
                return data, 200
            allspark.run(%r, process)
        """
        return Worker(self, source % way, env={"PYTHONPATH": directory}, **more)

    def test_old_allspark(self):
        for way, concurrency in (("serve", "5"), ("queue", "64"), ("children", "1")):
            worker = self.old(way)
            self.assertEqual(worker.ready["concurrency"], concurrency)
            self.assertEqual(worker.properties, {"rpc.keepalive": "700"})
            for body in (b"", b"x", b"y" * 100000, os.urandom(1 << 20)):
                self.assertTrue(worker.post(body) == (200, body), (way, len(body)))
            self.assertEqual(worker.answer(worker.request(b"raise")), (400, EXCEPTION, b"[KeyError] in processor: 'k'"))
            worker.drain()
        worker = self.old("serve")
        worker.request(b"exit")
        self.assertEqual(worker.wait(), 7)
        worker = self.old("serve", start={"model_config": "fails"}, wait=False)
        failed = decode(worker.expect(FAILED)[3])
        self.assertEqual((failed["message"], failed["hint"]), ("no model", "train one"))
        self.assertEqual(worker.wait(), 1)

    def test_nothing_else_is_used(self):
        """allspark uses of the host what stays as it is."""
        used = set()
        for path in glob.glob(os.path.join(SDK, "allspark", "*.py")):
            # The gateway in Python brings its own worker, the launcher is the host's.
            if os.path.basename(path) in ("_worker.py", "_launch.py", "_gateway.py"):
                continue
            with open(path, encoding="utf-8") as f:
                tree = ast.parse(f.read())
            for node in ast.walk(tree):
                if not isinstance(node, ast.Attribute):
                    continue
                owner = _source(node.value)
                if owner in ("_wire", "_host.module()"):
                    used.add(node.attr)
                    self.assertIn(node.attr, MODULE, path)
                elif owner in ("worker", "self._worker", "self._eas_worker", "_host.worker()"):
                    used.add(node.attr)
                    self.assertIn(node.attr, WORKER, path)
        self.assertTrue({"serve", "give", "take", "Worker", "current"} <= used, used)  # they are found


def _source(node):
    """Return names and calls without arguments as they are written."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return _source(node.value) + "." + node.attr
    if isinstance(node, ast.Call) and not node.args:
        return _source(node.func) + "()"
    return ""
