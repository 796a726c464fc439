"""Tells the species of irises by the measures of their flowers."""

import json
import os

import allspark
import joblib
import numpy as np


class Iris(allspark.BaseProcessor):
    def initialize(self):
        # The service description's model_path, wherever the service runs.
        self.model = joblib.load(os.path.join(self.get_model_path(), "iris.joblib"))

    def process(self, data):
        try:
            flowers = np.asarray(json.loads(data), dtype=float)
        except (ValueError, TypeError) as error:
            return b"the body has to be JSON: " + str(error).encode(), 400
        if flowers.ndim != 2 or flowers.shape[1] != 4:
            return b"send a list of flowers, each a list of 4 lengths in cm", 400
        chances = self.model.predict_proba(flowers)
        answer = [
            {"species": str(self.model.classes_[best]), "probability": round(float(row[best]), 4)}
            for row, best in zip(chances, chances.argmax(axis=1))
        ]
        return json.dumps(answer).encode(), 200


if __name__ == "__main__":
    Iris(worker_threads=4).run()
