"""What an answer becomes of what a processor returned or raised."""
import sys
from operator import index

from ._log import warn

BAD_REQUEST = 400
EXCEPTION = 0x02  # the flag of an answer that is the message of an exception
OUT_OF_RANGE = 65535  # stands for a status that no answer can carry

TWO_VALUES = """ERROR: The process() function should return two values,
  the first one is the body of the answer, of type bytes,
  the second one is its status, of type int:
      def process(self, data):
          return data, 200
  status 0 or 200 is success; what it returned was %s"""


class Rules:
    """The reply rules, with what one processor was warned of."""

    def __init__(self):
        self._warned = False

    def reply(self, result):
        """Turn what process returned into (status, flags, body)."""
        if not (isinstance(result, tuple) and len(result) == 2):
            return self.failed(Exception(TWO_VALUES % _describe(result)))
        body, status = result
        if not isinstance(body, bytes):
            body = self._text(body)
        try:
            status = index(status)
        except TypeError:
            raise TypeError("the status is to be an int, and process() returned %r" % (status,)) from None
        return (status if 0 <= status < OUT_OF_RANGE else OUT_OF_RANGE), 0, body

    def failed(self, error):
        """Turn an exception of process into (status, flags, body), and print
        its traceback."""
        name = type(error).__name__
        try:
            text = str(error)
        except Exception as e:
            text = "(str() of it raised %s)" % type(e).__name__
        try:
            print_traceback(error)
        except Exception:  # stderr is closed, or the exception cannot be printed
            pass
        body = "[%s] in processor: %s" % (name, text)
        return BAD_REQUEST, EXCEPTION, body.encode("utf-8", "backslashreplace")

    def body(self, value):
        """Turn a body into bytes."""
        return value if isinstance(value, bytes) else self._text(value)

    def _text(self, value):
        # The original does so with whatever is no bytes, and clients rely on it.
        if not self._warned and not isinstance(value, (str, int, float)):
            self._warned = True
            advice = "json.dumps(...).encode()" if isinstance(value, (dict, list, tuple)) else "bytes"
            warn(
                "process() returned a body of type %s: the client gets str() of it, %s, which is neither its bytes "
                "nor JSON; return %s instead" % (type(value).__name__, _shorten(str(value)), advice)
            )
        return str(value).encode()


def print_traceback(error):
    """Print an exception as Python does, from the processor's own frame on."""
    import traceback

    ours = __file__.rpartition("_rules")[0]
    first = error.__traceback__
    while first is not None and first.tb_frame.f_code.co_filename.startswith(ours):
        first = first.tb_next
    sys.stderr.write("".join(traceback.format_exception(type(error), error, first)))


def _describe(result):
    if isinstance(result, (tuple, list)):
        return "a %s of %d" % (type(result).__name__, len(result))
    return "None" if result is None else "of type %s" % type(result).__name__


def _shorten(text):
    return text if len(text) <= 60 else text[:57] + "..."
