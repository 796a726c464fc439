"""What to do about a module that is missing."""
import importlib.util
import os
import shutil
import sys
import tempfile
import types
import unittest
from unittest import mock

from harness import SDK

_spec = importlib.util.spec_from_file_location("_eas_hints", os.path.join(SDK, "allspark", "_hints.py"))
hints = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(hints)


class Hints(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.dir)
        self.entry = os.path.join(self.dir, "src", "app.py")
        os.makedirs(os.path.join(self.dir, "ENV", "bin"))
        os.makedirs(os.path.dirname(self.entry))

    def hint(self, name, prefix="ENV", **modules):
        prefix = os.path.join(self.dir, prefix)
        loaded = dict(sys.modules)
        for top in [name.partition(".")[0]] + list(modules):
            loaded.pop(top, None)
        for module, path in modules.items():
            loaded[module] = types.ModuleType(module)
            loaded[module].__file__ = os.path.join(self.dir, path)
        with mock.patch.object(sys, "prefix", prefix), mock.patch.object(sys, "executable", prefix + "/bin/python"):
            with mock.patch.dict(sys.modules, loaded, clear=True):
                return hints.hint(ModuleNotFoundError("No module named %r" % name, name=name), self.entry)

    def test_names_on_pypi(self):
        for name, distribution in (
            ("pandas", "pandas"), ("cv2", "opencv-python-headless"), ("sklearn.linear_model", "scikit-learn"),
            ("PIL", "pillow"), ("yaml", "PyYAML"), ("skimage", "scikit-image"), ("bs4", "beautifulsoup4"),
            ("dateutil.parser", "python-dateutil"), ("google.protobuf", "protobuf"),
        ):
            self.assertTrue(self.hint(name).endswith(": `ENV/bin/python -m pip install %s`" % distribution), self.hint(name))

    def test_interpreter_of_no_project(self):
        self.assertIn("`%s/other/bin/python -m pip install pandas`" % self.dir, self.hint("pandas", prefix="other"))
        self.assertIn("ENV/bin/python -m pip install pandas`, then `eascmd image build`", self.hint("pandas", prefix="/data/eas/ENV"))

    def test_part_of_what_is_there(self):
        self.assertIn("--upgrade scikit-learn`", self.hint("sklearn.new", sklearn="ENV/lib/python3/site-packages/sklearn/__init__.py"))
        self.assertEqual(self.hint("utils.new", utils="src/utils.py"), "utils is utils.py of the processor, which has no such module")

    def test_nothing_for_pip(self):
        for name in ("_sqlite3", "_lzma", "ssl"):
            self.assertIn("belongs to the standard library", self.hint(name))
        self.assertIn("has no module asyncore any more", self.hint("asyncore"))
        for name in ("_sqlite3", "asyncore"):
            self.assertNotIn("pip install", self.hint(name))

    def test_allspark(self):
        want = '`ENV/bin/python -m pip install --force-reinstall "$(eascmd pysdk wheel -o dist)"`'
        self.assertIn(want, self.hint("allspark"))
        self.assertIn("the allspark at %s/x.py is not the SDK" % self.dir, self.hint("allspark.inner", allspark="x.py"))
