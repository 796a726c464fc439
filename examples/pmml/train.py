"""Trains the model of this example and writes it as PMML.

The data comes with scikit-learn, and the model is the one of examples/iris: a
logistic regression on standardized measures. It is trained the same, so that
the two examples answer the same.
"""

import os
import sys
import xml.etree.ElementTree as ET

import sklearn
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

NAMESPACE = "http://www.dmg.org/PMML-4_4"
MEASURES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
TARGET = "species"


def child(parent, tag, /, **attributes):
    return ET.SubElement(parent, tag, {key: str(value) for key, value in attributes.items()})


def as_pmml(scaler, model, samples):
    """Returns the two as a PMML document, which every implementation of PMML reads.

    PMML multiplies measures as they are, without standardizing them first: the
    mean and the deviation of the scaler go into the coefficients. The samples go
    along with what the model says of them, so that whoever loads the document can
    verify that it computes the same.
    """
    pmml = ET.Element("PMML", {"xmlns": NAMESPACE, "version": "4.4"})
    header = child(pmml, "Header", description="Species of irises by the measures of their flowers, in cm")
    child(header, "Application", name="scikit-learn", version=sklearn.__version__)

    dictionary = child(pmml, "DataDictionary", numberOfFields=len(MEASURES) + 1)
    for name in MEASURES:
        child(dictionary, "DataField", name=name, optype="continuous", dataType="double")
    target = child(dictionary, "DataField", name=TARGET, optype="categorical", dataType="string")
    for species in model.classes_:
        child(target, "Value", value=species)

    regression = child(pmml, "RegressionModel", modelName="iris", functionName="classification", normalizationMethod="softmax")
    schema = child(regression, "MiningSchema")
    child(schema, "MiningField", name=TARGET, usageType="target")
    for name in MEASURES:
        # What is no number, and what is missing, is refused.
        child(schema, "MiningField", name=name, invalidValueTreatment="returnInvalid", missingValueTreatment="returnInvalid")
    output = child(regression, "Output")
    for species in model.classes_:
        child(output, "OutputField", name="probability_" + species, optype="continuous", dataType="double",
              feature="probability", value=species)

    for species, coefficients, intercept in zip(model.classes_, model.coef_ / scaler.scale_, model.intercept_):
        table = child(regression, "RegressionTable", targetCategory=species,
                      intercept=float(intercept - coefficients @ scaler.mean_))
        for name, coefficient in zip(MEASURES, coefficients):
            child(table, "NumericPredictor", name=name, coefficient=float(coefficient))

    columns = MEASURES + [TARGET] + ["probability_" + species for species in model.classes_]
    verification = child(regression, "ModelVerification", recordCount=len(samples), fieldCount=len(columns))
    fields = child(verification, "VerificationFields")
    for name in columns:
        child(fields, "VerificationField", field=name, column=name, precision="1e-9")
    rows = child(verification, "InlineTable")
    scaled = scaler.transform(samples)
    for measures, species, chances in zip(samples, model.predict(scaled), model.predict_proba(scaled)):
        row = child(rows, "row")
        for name, value in zip(columns, [*map(float, measures), species, *map(float, chances)]):
            child(row, name).text = str(value)
    return ET.ElementTree(pmml)


def main():
    iris = load_iris()
    train, test, species_train, species_test = train_test_split(
        iris.data, iris.target_names[iris.target], test_size=0.2, random_state=0, stratify=iris.target_names[iris.target])
    scaler = StandardScaler().fit(train)
    model = LogisticRegression(max_iter=1000).fit(scaler.transform(train), species_train)
    accuracy = model.score(scaler.transform(test), species_test)
    print("accuracy on flowers it has not seen: %.2f" % accuracy)
    if accuracy < 0.9:
        sys.exit("this is too little: something is wrong")

    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "model", "iris.pmml")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    document = as_pmml(scaler, model, test[:6])
    ET.indent(document)
    with open(path, "wb") as file:
        document.write(file, encoding="UTF-8", xml_declaration=True)
        file.write(b"\n")
    print("wrote", os.path.relpath(path))


if __name__ == "__main__":
    main()
