"""The side of bench/forest.ts that is scikit-learn: a line of JSON in, a line of JSON out."""
import json
import sys
import time

import numpy as np
import sklearn
from sklearn.ensemble import RandomForestClassifier

print(json.dumps({"version": sklearn.__version__}), flush=True)
for line in sys.stdin:
    job = json.loads(line)
    width = job["width"]
    rows = [np.fromfile(job[part] + ".x", "<f8").reshape(-1, width) for part in ("train", "test")]
    labels = [np.fromfile(job[part] + ".y", "<u2") for part in ("train", "test")]
    forest = RandomForestClassifier(job["trees"], n_jobs=2, random_state=job["seed"])
    answer = {}
    for what, run in (
        ("train", lambda: forest.fit(rows[0], labels[0])),
        ("predict", lambda: forest.predict_proba(rows[1])),
    ):
        wall, cpu = time.perf_counter(), time.process_time()
        result = run()
        answer[what] = {
            "wall": 1000 * (time.perf_counter() - wall),
            "cpu": 1000 * (time.process_time() - cpu),
        }
    answer["accuracy"] = float((forest.classes_[result.argmax(1)] == labels[1]).mean())
    answer["nodes"] = int(sum(tree.tree_.node_count for tree in forest.estimators_))
    print(json.dumps(answer), flush=True)
