#!/usr/bin/env python3
"""An attack in Python: a random forest of scikit-learn's, as an external program.

    deno task attack:exec --exec /usr/bin/python3 examples/attack-sklearn/attack.py

One JSON object a line comes in, one goes out; docs/writing_an_attack.md describes them.
"""

import json
import sys

import numpy as np
from sklearn.ensemble import RandomForestClassifier

forest = None
answers = sys.stdout
# What libraries print must not get among the answers.
sys.stdout = sys.stderr


def columns(samples):
    return np.log1p(np.array(samples["features"], dtype=float).reshape(samples["count"], -1))


def train(call):
    global forest
    trees = int(call["parameters"].get("trees", 100))
    forest = RandomForestClassifier(n_estimators=trees, oob_score=True, random_state=call["seed"])
    samples = call["samples"]
    forest.fit(columns(samples), samples["labels"])
    return {"notes": {"trees": trees, "out-of-bag accuracy": forest.oob_score_}}


def classify(call):
    samples = call["samples"]
    if samples["count"] == 0:
        return {"labels": [], "confidence": [], "anomaly": []}
    votes = forest.predict_proba(columns(samples))
    best = votes.argmax(axis=1)
    confidence = votes.max(axis=1)
    labels = np.where(confidence < 0.5, -1, forest.classes_[best])
    return {
        "labels": labels.tolist(),
        "confidence": confidence.tolist(),
        "anomaly": (1 - confidence).tolist(),
    }


ACTIONS = {
    "hello": lambda call: {"name": "sklearn-forest", "reads": "features"},
    "train": train,
    "classify": classify,
}

for line in sys.stdin:
    call = json.loads(line)
    try:
        answer = ACTIONS[call["call"]](call)
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps({"serial": call["serial"], **answer}), file=answers, flush=True)
