"""Trains the model of this example, from data that comes with scikit-learn."""

import os
import sys

import joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

here = os.path.dirname(os.path.abspath(__file__))
iris = load_iris()
species = iris.target_names[iris.target]
train, test, species_train, species_test = train_test_split(
    iris.data, species, test_size=0.2, random_state=0, stratify=species)
model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
model.fit(train, species_train)
accuracy = model.score(test, species_test)
path = os.path.join(here, "model", "iris.joblib")
os.makedirs(os.path.dirname(path), exist_ok=True)
joblib.dump(model, path)
print("accuracy on flowers it has not seen: %.2f" % accuracy)
print("wrote", os.path.relpath(path))
if accuracy < 0.9:
    sys.exit("this is too little: something is wrong")
