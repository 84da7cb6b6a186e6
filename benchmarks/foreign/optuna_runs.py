"""Optuna: a grid of arms and seeds in its SQLite storage and in a journal file; one trial is pruned, one fails."""

from __future__ import annotations

import optuna
from digits_task import ARMS, SEEDS, Scores, get_folder, train
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

optuna.logging.set_verbosity(optuna.logging.ERROR)


def log_trials(tool: str, storage: optuna.storages.BaseStorage) -> None:
    scores = Scores(tool, "value")

    def objective(trial: optuna.Trial) -> float:
        arm, seed = trial.suggest_categorical("arm", list(ARMS)), trial.suggest_int("seed", 0, 99)
        if seed == 98:
            raise optuna.TrialPruned
        if seed == 99:
            raise ValueError
        *_, metrics = train(arm, seed)
        trial.set_user_attr("val_loss", metrics["val_loss"])
        scores.add(arm, seed, metrics["val_accuracy"])
        return metrics["val_accuracy"]

    study = optuna.create_study(study_name="digits", storage=storage, direction="maximize")
    for arm in ARMS:
        for seed in (*SEEDS, 98, 99):
            study.enqueue_trial({"arm": arm, "seed": seed})
    study.optimize(objective, n_trials=2 * (len(SEEDS) + 2), catch=ValueError)
    scores.write()


log_trials("optuna-sqlite", RDBStorage(f"sqlite:///{get_folder('optuna-sqlite')}/optuna.db"))
log_trials("optuna-journal", JournalStorage(JournalFileBackend(str(get_folder("optuna-journal") / "journal.log"))))
print("optuna", optuna.__version__)
