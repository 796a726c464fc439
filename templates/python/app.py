"""A Python processor for EAS: a scorer for two numbers, to be replaced by yours."""

import json

import allspark


class Processor(allspark.BaseProcessor):
    """Everything EAS asks for: initialize once, then process for every request."""

    def initialize(self):
        """Loads the model. Raise an exception when the service must not start.

        Files of a model lie in self.get_model_path(), the service description's
        model_path. This one is small enough to stand here.
        """
        self.weights = [0.5, 0.25]

    def pre_process(self, data):
        """Turns the body of a request, bytes, into numbers."""
        return [float(word) for word in data.split()]

    def post_process(self, score):
        """Turns the result into the body of the answer, bytes."""
        return json.dumps({"score": score}).encode()

    def process(self, data):
        """Answers a request: a body and an HTTP status.

        Several threads may be here at the same time. An exception is answered
        400 with its message; its traceback is in the log.
        """
        numbers = self.pre_process(data)
        if len(numbers) != len(self.weights):
            return b"send two numbers, such as: 3 8", 400
        score = sum(w * n for w, n in zip(self.weights, numbers))
        return self.post_process(score), 200


if __name__ == "__main__":
    # allspark.default_properties().put("rpc.keepalive", 10000)  # ms, before run()
    Processor(worker_threads=5).run()
