"""What the SDK says on the terminal."""
import sys


def info(text):
    print("[INFO] " + text, flush=True)


def error(text):
    print("[ERROR] " + text, flush=True)


def warn(text):
    sys.stderr.write("[WARNING] %s\n" % text)
    sys.stderr.flush()
