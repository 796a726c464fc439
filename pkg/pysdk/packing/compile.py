"""Compiles a program without running any of it: compile.py PROGRAM.

Writes what is wrong with it as a JSON object, and nothing where it is right.
"""

import json
import sys

with open(sys.argv[1], "rb") as f:
    source = f.read()
try:
    compile(source, sys.argv[1], "exec", dont_inherit=True)
except SyntaxError as error:
    json.dump({"line": error.lineno or 0, "text": error.msg}, sys.stdout)
except ValueError as error:  # a zero byte, before Python 3.12
    json.dump({"line": 0, "text": str(error)}, sys.stdout)
