"""Tells which handwritten digit is in a JPEG file, as the C++ example above it does."""

import json
import os
import sys
import traceback

import allspark
import numpy as np
import onnxruntime

import preprocess


class Digits(allspark.BaseProcessor):
    def initialize(self):
        # The service description's model_path, wherever the service runs.
        path = find_model(self.get_model_path())
        options = onnxruntime.SessionOptions()
        # The service's threads are what answers requests at the same time.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own classes have no common one but this
            why = str(error).rpartition(" failed:")[2]
            raise ValueError("%s: it is no model that ONNX Runtime can run: %s" % (path, why)) from None
        for what, values, wanted in (
            ("input", self.session.get_inputs(), '"image" tensor(float) [N, 1, 28, 28]'),
            ("output", self.session.get_outputs(), '"scores" tensor(float) [N, 10]'),
        ):
            found = "; ".join(map(describe, values))
            if found != wanted:
                raise ValueError("%s: the model's %s is %s, and has to be %s" % (path, what, found, wanted))
        # What is made at the first run is not to be waited for by the first request.
        self.classify(np.zeros((28, 28), np.float32))

    def classify(self, digit):
        (scores,) = self.session.run(["scores"], {"image": digit[None, None]})
        return int(scores[0].argmax())

    def process(self, data):
        try:
            digit = preprocess.image(data)
        except preprocess.Refused as refused:
            return str(refused).encode(), refused.status
        try:
            result = self.classify(digit)
        except Exception:
            traceback.print_exc(file=sys.stderr)
            return b"Predict Process Failed", 500
        return json.dumps({"result": result}).encode(), 200


def find_model(path):
    """Returns the model's file: the path itself, or the one .onnx in a directory."""
    if not os.path.isdir(path):
        return path
    found = [name for name in os.listdir(path) if name.endswith(".onnx")]
    if not found:
        raise ValueError("%s holds no file *.onnx" % path)
    if len(found) > 1:
        raise ValueError("%s holds %d files *.onnx, and has to hold one" % (path, len(found)))
    return os.path.join(path, found[0])


def describe(value):
    """Returns an input or output of a model as one reads it; the number of pictures is open or 1."""
    first, *others = value.shape or [None]
    shape = ["N" if isinstance(first, str) or first in (None, 1) else first, *others]
    return '"%s" %s [%s]' % (value.name, value.type, ", ".join(map(str, shape)))


if __name__ == "__main__":
    Digits().run()
