"""scikit-learn: cross_validate as JSON, npz and CSV, and a grid search's cv_results_ as CSV; folds are replicates."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import sklearn
from digits_task import ARMS, EPOCHS, Scores, get_folder
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_validate
from sklearn.neural_network import MLPClassifier

images, labels = load_digits(return_X_y=True)
folds = StratifiedKFold(5, shuffle=True, random_state=0)
model = MLPClassifier((24,), random_state=0, max_iter=4 * EPOCHS, batch_size=64)
tools = ("sklearn-json", "sklearn-csv", "sklearn-npz")
folders = {tool: get_folder(tool) for tool in tools}
tables = {tool: Scores(tool, "test_accuracy") for tool in tools}
for arm, settings in ARMS.items():
    results = cross_validate(
        model.set_params(**settings), images / 16, labels, cv=folds, scoring=["accuracy", "f1_macro"]
    )
    as_lists = {name: column.tolist() for name, column in results.items()}
    (folders["sklearn-json"] / f"{arm}.json").write_text(json.dumps(as_lists))
    np.savez(folders["sklearn-npz"] / f"{arm}.npz", **results)
    pd.DataFrame(results).to_csv(folders["sklearn-csv"] / f"{arm}.csv")
    for table in tables.values():
        for fold, score in enumerate(results["test_accuracy"]):
            table.add(arm, fold, score)

search = GridSearchCV(model, {"solver": list(ARMS)}, cv=folds).fit(images / 16, labels)
pd.DataFrame(search.cv_results_).to_csv(get_folder("sklearn-search") / "search.csv")
tables["sklearn-search"] = Scores("sklearn-search", "test_score")
for candidate, params in enumerate(search.cv_results_["params"]):
    for fold in range(5):
        score = search.cv_results_[f"split{fold}_test_score"][candidate]
        tables["sklearn-search"].add(params["solver"], fold, score)
for table in tables.values():
    table.write()
print("scikit-learn", sklearn.__version__)
