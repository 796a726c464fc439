"""Tells which handwritten digit is in a JPEG file, as the C++ example above it does."""

import glob
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
        path = self.get_model_path()
        if os.path.isdir(path):
            models = glob.glob(os.path.join(path, "*.onnx"))
            if len(models) != 1:
                raise ValueError("%s holds %d files *.onnx, and has to hold one" % (path, len(models)))
            path = models[0]
        options = onnxruntime.SessionOptions()
        # The service's threads are what answers requests at the same time.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own classes have no common one but this
            raise ValueError("%s is no model that ONNX Runtime reads: %s" % (path, error)) from None
        inputs, outputs = self.session.get_inputs(), self.session.get_outputs()
        if [(i.name, i.type, i.shape[1:]) for i in inputs] != [("image", "tensor(float)", [1, 28, 28])]:
            raise ValueError("%s is to have one input, image: float [N, 1, 28, 28]" % path)
        if [(o.name, o.type, o.shape[1:]) for o in outputs] != [("scores", "tensor(float)", [10])]:
            raise ValueError("%s is to have one output, scores: float [N, 10]" % path)
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


if __name__ == "__main__":
    Digits().run()
