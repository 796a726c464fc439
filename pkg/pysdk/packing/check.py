"""Tries what a package imports.

Runs in the interpreter of the unpacked package: check.py RESULT [PROGRAM].
Writes a JSON object a line to the file RESULT: about the interpreter, then two
for every import, before and after it was tried.
"""

import ast
import importlib
import json
import os
import sys

result = open(sys.argv[1], "w", encoding="utf-8")
program = sys.argv[2] if len(sys.argv) > 2 else ""


def say(**fields):
    result.write(json.dumps(fields) + "\n")
    result.flush()


def last_line(error):
    text = str(error).strip().split("\n")[0]
    name = type(error).__name__
    return name + ": " + text if text else name


class Imports(ast.NodeVisitor):
    """Collects (line, module, name or None, optional)."""

    def __init__(self):
        self.found = []
        self.optional = 0  # how many things around say that it may fail or come late

    def inside(self, nodes):
        self.optional += 1
        for node in nodes:
            self.visit(node)
        self.optional -= 1

    def visit_Import(self, node):
        for alias in node.names:
            self.found.append((node.lineno, alias.name, None, bool(self.optional)))

    def visit_ImportFrom(self, node):
        if node.level or not node.module:
            return
        for alias in node.names:
            name = None if alias.name == "*" else alias.name
            self.found.append((node.lineno, node.module, name, bool(self.optional)))

    def visit_FunctionDef(self, node):
        self.inside(node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Try(self, node):
        self.inside(node.body + node.handlers + node.orelse + node.finalbody)

    visit_TryStar = visit_Try

    def visit_If(self, node):
        if "TYPE_CHECKING" in ast.dump(node.test):
            self.inside(node.orelse)
        else:
            self.inside(node.body + node.orelse)


def attempt(module, name):
    loaded = importlib.import_module(module)
    if name is None or hasattr(loaded, name):
        return
    try:
        importlib.import_module(module + "." + name)
    except ModuleNotFoundError as error:
        if error.name != module + "." + name:
            raise
        raise ImportError("cannot import name %r from %r" % (name, module))


def main():
    say(python=sys.version.split()[0], prefix=sys.prefix, executable=sys.executable)
    wanted = []
    if program:
        sys.path[0] = os.path.dirname(os.path.abspath(program))
        with open(program, "rb") as f:
            source = f.read()
        imports = Imports()
        imports.visit(compile(source, program, "exec", ast.PyCF_ONLY_AST, dont_inherit=True))
        wanted = imports.found
    # The SDK comes last: where the program names it, that was tried before.
    tried = set()
    for line, module, name, optional in wanted + [(0, "allspark", None, True)]:
        if (module, name) in tried:
            continue
        tried.add((module, name))
        what = dict(module=module, name=name or "", line=line, optional=optional)
        say(begin=True, **what)
        try:
            attempt(module, name)
        except BaseException as error:  # also SystemExit, which a module may raise
            missing = getattr(error, "name", None) if isinstance(error, ModuleNotFoundError) else None
            say(error=last_line(error), missing=missing or "", **what)
        else:
            say(done=True, **what)


main()
result.close()
os._exit(0)  # threads that a module left behind must not keep it
