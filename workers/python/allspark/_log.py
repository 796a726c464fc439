"""What the SDK says on the terminal."""
import sys


def info(text):
    _write(sys.stdout, "[INFO] %s\n" % text)


def error(text):
    _write(sys.stdout, "[ERROR] %s\n" % text)


def warn(text):
    _write(sys.stderr, "[WARNING] %s\n" % text)


def _write(stream, line):
    if stream is not None:  # there is none under pythonw
        stream.write(line)
        stream.flush()
