"""Votes counted from stored predictions: who votes, on which images, and what is said where that cannot be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import accuracy_score

from bakeoff.report.ensembles import describe_ensembles
from bakeoff.report.sections.ensembles import tabulate_classes, tabulate_ensembles
from bakeoff.report.votes import Voted, add_ensembles
from bakeoff.stats.ensembles import cast_vote
from bakeoff.stats.metrics import classification_metrics
from bakeoff.stats.results import TrialResult
from bakeoff.stats.summary import StudyDesign, summarise
from bakeoff.study.schema import Study

ARMS = ("a", "b", "c")
NAMES = ("cat", "dog", "owl")
NUM_TEST = 60


class Store:
    """Predictions of three arms of rising skill, as trials would leave them."""

    def __init__(self, num_replicates: int = 3, num_folds: int | None = None, test: bool = True) -> None:
        self.files: dict[tuple[str, str], dict[str, npt.NDArray[Any]]] = {}
        self.results: list[TrialResult] = []
        self.asked: set[str] = set()
        rng = np.random.default_rng(0)
        test_labels = rng.integers(3, size=NUM_TEST)
        for replicate in range(num_replicates):
            for fold in (None,) if num_folds is None else range(num_folds):
                labels, indices = rng.integers(3, size=40), rng.permutation(400)[:40]
                for skill, arm in enumerate(ARMS):
                    trial_id = f"{arm}{replicate}{'' if fold is None else fold}"
                    self._add(trial_id, "validation", labels, indices, 1.0 + 0.5 * skill, rng)
                    if fold is not None:
                        self._add(trial_id, "held-out", labels[::-1], indices + 400, 1.0 + 0.5 * skill, rng)
                    if test:
                        self._add(trial_id, "test", test_labels, np.arange(NUM_TEST), 1.0 + 0.5 * skill, rng)
                    self.results.append(self._make_result(trial_id, arm, replicate, fold))

    def _add(
        self, trial_id: str, split: str, labels: Any, indices: Any, skill: float, rng: np.random.Generator
    ) -> None:
        logits = rng.normal(size=(len(labels), 3)) + skill * np.eye(3)[labels]
        probabilities = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
        self.files[trial_id, split] = {"probabilities": probabilities, "labels": labels, "indices": indices}

    def _make_result(self, trial_id: str, arm: str, replicate: int, fold: int | None) -> TrialResult:
        metrics = {
            split: classification_metrics(found["probabilities"], found["labels"])
            for (known, split), found in self.files.items()
            if known == trial_id
        }
        return TrialResult(
            trial_id=trial_id,
            block="pets",
            arm=arm,
            replicate=replicate,
            fold=fold,
            state="done",
            metrics=metrics,
            epochs_trained=2,
            best_epoch=2,
            seconds=1.5,
        )

    def load(self, trial_id: str, split: str) -> Mapping[str, npt.NDArray[Any]] | None:
        self.asked.add(split)
        return self.files.get((trial_id, split))

    def fail(self, trial_id: str) -> None:
        self.results = [
            replace(r, state="failed", reason="diverged", metrics={}) if r.trial_id == trial_id else r
            for r in self.results
        ]

    def vote(self, num_folds: int | None = None, **ensembles: Any) -> Voted:
        data: dict[str, Any] = {} if num_folds is None else {"data": {"folds": num_folds}}
        study = Study(
            question="Which?",
            recipe={"network": {"name": "mlp"}},
            arms=[{name: {"epochs": number + 1} for number, name in enumerate(ARMS)}],
            ensembles=ensembles,
            **data,
        )
        return add_ensembles(self.results, study, ARMS, self.load)


def votes_of(voted: Voted) -> list[TrialResult]:
    return [result for result in voted.results if result.arm not in ARMS]


def test_without_ensembles_nothing_changes() -> None:
    store = Store()
    voted = store.vote()
    assert (voted.results, voted.arms, voted.notes) == (tuple(store.results), ARMS, ())


@pytest.mark.parametrize("by", ["soft", "logits", "hard"])
def test_a_vote_over_arms_is_one_result_in_every_replicate(by: str) -> None:
    store = Store()
    voted = store.vote(vote={"of": ["a", "c"], "by": by})
    assert voted.arms == (*ARMS, "vote")
    assert [(vote.arm, vote.block, vote.replicate, vote.fold) for vote in votes_of(voted)] == [
        ("vote", "pets", replicate, None) for replicate in range(3)
    ]
    for vote in votes_of(voted):
        for split in ("validation", "test"):
            files = [store.files[f"{arm}{vote.replicate}", split] for arm in "ac"]
            expected = cast_vote(np.stack([file["probabilities"] for file in files]), by)
            assert vote.metrics[split] == classification_metrics(expected, files[0]["labels"])
            read = voted.load(vote.trial_id, split)
            assert read is not None
            np.testing.assert_array_equal(read["probabilities"], expected)
            np.testing.assert_array_equal(read["indices"], files[0]["indices"])
        assert (vote.epochs_trained, vote.seconds) == (4, 3.0)


@pytest.mark.parametrize("by", ["weighted", "greedy"])
def test_fitted_weights_come_from_validation_and_hold_on_test(by: str) -> None:
    store = Store()
    voted = store.vote(vote={"by": by})
    for vote in votes_of(voted):
        ballot = voted.ballots[vote.trial_id]
        assert ballot.weights is not None
        assert ballot.fitted is not None
        assert ballot.weights.sum() == pytest.approx(1)
        files = [store.files[f"{arm}{vote.replicate}", "test"] for arm in ARMS]
        expected = cast_vote(np.stack([file["probabilities"] for file in files]), by, ballot.weights)
        assert vote.metrics["test"] == classification_metrics(expected, files[0]["labels"])
        if by == "greedy":
            assert ballot.fitted[0] >= ballot.fitted[1]


def test_the_labels_of_the_test_images_choose_nothing() -> None:
    store, other = Store(), Store()
    for (_, split), file in other.files.items():
        if split == "test":
            file["labels"] = 2 - file["labels"]
    for by in ("weighted", "greedy"):
        weights = [[b.weights for b in s.vote(vote={"by": by}).ballots.values()] for s in (store, other)]
        np.testing.assert_array_equal(weights[0], weights[1])


def test_a_fitted_vote_is_not_judged_on_validation_by_what_it_chose() -> None:
    store = Store()
    voted = store.vote(vote={"by": "weighted"})
    flattery = []
    for vote in votes_of(voted):
        read = voted.load(vote.trial_id, "validation")
        assert read is not None
        assert vote.metrics["validation"] == classification_metrics(read["probabilities"], read["labels"])
        models = np.stack([store.files[f"{arm}{vote.replicate}", "validation"]["probabilities"] for arm in ARMS])
        chosen = cast_vote(models, "weighted", voted.ballots[vote.trial_id].weights)
        flattery.append(vote.metrics["validation"]["loss"] - classification_metrics(chosen, read["labels"])["loss"])
    assert min(flattery) >= -1e-6
    assert max(flattery) > 1e-4


def test_folds_vote_within_a_fold_and_are_verdicts_fold_by_fold() -> None:
    store = Store(num_replicates=2, num_folds=3)
    voted = store.vote(num_folds=3, vote={})
    assert [(vote.replicate, vote.fold) for vote in votes_of(voted)] == [(r, f) for r in range(2) for f in range(3)]
    summary = summarise(voted.results, StudyDesign(blocks=["pets"], arms=voted.arms, num_folds=3))
    assert {verdict.replicates for verdict in summary.verdicts} == {6}
    assert summary.split == "held-out"
    for vote in votes_of(voted):
        files = [store.files[f"{arm}{vote.replicate}{vote.fold}", "held-out"] for arm in ARMS]
        expected = cast_vote(np.stack([file["probabilities"] for file in files]), "soft")
        assert vote.metrics["held-out"] == classification_metrics(expected, files[0]["labels"])
    (report,) = describe_ensembles(voted, summary, {"pets": NAMES})
    assert report.split == "held-out"


def test_weights_of_a_vote_in_a_fold_are_fitted_on_its_inner_validation_images() -> None:
    store, other = Store(num_replicates=1, num_folds=3), Store(num_replicates=1, num_folds=3)
    for (_, split), file in other.files.items():
        if split == "held-out":
            file["labels"] = 2 - file["labels"]
    weights = [
        [b.weights for b in s.vote(num_folds=3, vote={"by": "weighted"}).ballots.values()] for s in (store, other)
    ]
    np.testing.assert_array_equal(weights[0], weights[1])


def test_a_vote_has_train_scores_where_its_members_kept_their_predictions() -> None:
    store = Store(num_replicates=2)
    rng = np.random.default_rng(1)
    for replicate in range(2):
        labels, indices = rng.integers(3, size=50), rng.permutation(50)
        for arm in ARMS:
            store._add(f"{arm}{replicate}", "train", labels, indices, 2.0, rng)
    store.results = [store._make_result(r.trial_id, r.arm, r.replicate, r.fold) for r in store.results]
    voted = store.vote(vote={"of": ["a", "b"], "by": "logits"}, seeds={"of": ["a"], "over": "replicates"})
    first = votes_of(voted)[0]
    members = [store.files[trial_id, "train"] for trial_id in ("a0", "b0")]
    product = np.prod([each["probabilities"] for each in members], axis=0)  # the mean of logits orders classes alike
    expected = accuracy_score(members[0]["labels"], product.argmax(axis=1))
    assert first.metrics["train"]["accuracy"] == pytest.approx(expected)
    assert voted.notes == ()
    del store.files["b1", "train"]
    voted = store.vote(vote={"of": ["a", "b"], "by": "logits"})
    assert ["train" in vote.metrics for vote in votes_of(voted)] == [True, False]
    assert len(voted.notes) == 1


def test_an_unopened_test_split_stays_closed() -> None:
    store = Store()
    store.results = [
        replace(r, metrics={"validation": r.metrics["validation"]}) for r in store.results
    ]  # the files of another study's final test are there
    voted = store.vote(vote={}, seeds={"of": ["a"], "over": "replicates"})
    assert store.asked == {"validation"}
    assert all(vote.metrics.keys() == {"validation"} for vote in votes_of(voted))
    assert voted.load(votes_of(voted)[0].trial_id, "test") is None
    assert voted.notes == (
        "No vote seeds of a on pets: its models have different validation images, so it is computed in the final test.",
    )


def test_a_vote_fails_with_its_member_and_is_named() -> None:
    store = Store()
    store.fail("b1")
    voted = store.vote(vote={}, pair={"of": ["a", "c"]})
    assert [(vote.arm, vote.replicate, vote.state) for vote in votes_of(voted)] == [
        ("vote", 0, "done"),
        ("vote", 1, "failed"),
        ("vote", 2, "done"),
        *(("pair", replicate, "done") for replicate in (0, 1, 2)),
    ]
    assert voted.load(votes_of(voted)[1].trial_id, "test") is None
    assert voted.notes == ("No vote vote in replicate 2 on pets: b failed.",)


def test_a_trial_that_is_not_done_yet_is_waited_for() -> None:
    store = Store()
    store.results = [result for result in store.results if result.trial_id != "c2"]
    voted = store.vote(vote={})
    assert [vote.replicate for vote in votes_of(voted)] == [0, 1]
    assert voted.notes == ()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_predictions_that_are_gone_lose_the_vote_but_not_the_study(split: str) -> None:
    store = Store()
    del store.files["b0", split]
    voted = store.vote(vote={})
    # A vote on one split only would move every verdict of the study to the validation split.
    assert [vote.replicate for vote in votes_of(voted)] == [1, 2]
    assert voted.notes == (
        f"No vote vote in replicate 1 on pets: the {split} predictions of trial b0 (b) are missing.",
    )


@pytest.mark.parametrize("name", ["labels", "indices"])
def test_predictions_of_other_images_do_not_vote_together(name: str) -> None:
    store = Store()
    store.files["c0", "test"][name] = store.files["c0", "test"][name][::-1]
    voted = store.vote(vote={})
    assert [vote.replicate for vote in votes_of(voted)] == [1, 2]
    assert "the test predictions of trials a0 and c0 are of different images" in voted.notes[0]


def test_replicates_of_one_arm_vote_on_the_test_images_and_are_no_arm() -> None:
    store = Store()
    voted = store.vote(seeds={"over": "replicates", "of": ["b", "c"]})
    assert voted.results == tuple(store.results)
    assert voted.arms == ARMS
    assert [(ballot.arm, len(ballot.models)) for ballot in voted.ballots.values()] == [("b", 3), ("c", 3)]
    (first, _) = voted.ballots
    read = voted.load(first, "test")
    assert read is not None
    expected = np.mean([store.files[f"b{replicate}", "test"]["probabilities"] for replicate in range(3)], axis=0)
    np.testing.assert_allclose(read["probabilities"], expected, rtol=1e-6)


def test_folds_of_one_arm_vote_in_every_replicate() -> None:
    voted = Store(num_replicates=2, num_folds=3).vote(num_folds=3, folds={"over": "folds", "of": ["a"]})
    assert [(b.arm, b.replicate, len(b.models)) for b in voted.ballots.values()] == [("a", 0, 3), ("a", 1, 3)]


# --- what is said of them --------------------------------------------------------------------------------------------


def describe(voted: Voted, num_folds: int | None = None) -> Any:
    summary = summarise(voted.results, StudyDesign(blocks=["pets"], arms=voted.arms, num_folds=num_folds))
    return describe_ensembles(voted, summary, {"pets": NAMES})


def test_classes_before_and_after_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import precision_recall_fscore_support

    store = Store()
    voted = store.vote(vote={"of": ["a", "c"]})
    (report,) = describe(voted)
    labels = store.files["a0", "test"]["labels"]
    before = [store.files[f"{report.before}{r}", "test"]["probabilities"] for r in range(3)]
    pairs = [[store.files[f"{arm}{r}", "test"]["probabilities"] for arm in "ac"] for r in range(3)]
    after = [first + second for first, second in pairs]
    for position, models in enumerate((before, after)):
        scores = [precision_recall_fscore_support(labels, model.argmax(axis=1))[:3] for model in models]
        expected = np.mean(scores, axis=0)
        for number, change in enumerate(report.classes):
            found = [getattr(change, name)[position] for name in ("precision", "recall", "f1")]
            np.testing.assert_allclose(found, expected[:, number])


def test_a_vote_is_set_beside_its_best_member() -> None:
    (report,) = describe(Store().vote(vote={"by": "greedy"}))
    assert (report.split, report.num_votes, report.num_models, report.members) == ("test", 3, 3, ARMS)
    assert report.before == "c"
    assert sum(report.weights.values()) == pytest.approx(1)
    assert report.fitted is not None
    assert report.fitted[0] >= report.fitted[1]
    assert report.sentence.startswith("vote, the greedy selection of a, b and c, reaches ")
    assert "(mean of 3 votes), compared with " in report.sentence
    assert "for its best member, c, alone. Weights: " in report.sentence


def test_members_stand_in_the_order_in_which_they_are_named() -> None:
    (report,) = describe(Store().vote(vote={"of": ["c", "a"]}))
    assert report.members == ("c", "a")


def test_a_vote_of_replicates_says_that_it_has_no_interval() -> None:
    (report,) = describe(Store().vote(seeds={"over": "replicates", "of": ["b"], "by": "hard"}))
    assert (report.score.sd, report.num_votes, report.num_models, report.split) == (None, 1, 3, "test")
    assert "the hard vote of the 3 models of b (replicates)" in report.sentence
    assert "one value without an interval or a verdict" in report.sentence


def test_tables_hold_a_row_per_ensemble_and_per_class() -> None:
    reports = describe(Store().vote(vote={}, seeds={"over": "replicates", "of": ["b"]}))
    table = {column.key: column.cells for column in tabulate_ensembles(reports)}
    assert table["ensemble"] == ("vote", "seeds")
    assert table["of"] == ("a, b and c", "b, 3 replicates")
    assert table["votes"] == ("3", "1")
    classes = {column.key: column.cells for column in tabulate_classes(reports[0], scores=("f1",))}
    assert classes.keys() == {"class", "f1 before", "f1 after", "change"}
    assert classes["class"] == NAMES
    for before, after, change in zip(classes["f1 before"], classes["f1 after"], classes["change"], strict=True):
        assert float(change) == pytest.approx(float(after) - float(before), abs=1.1e-4)


def test_a_class_that_nobody_predicts_has_a_dash() -> None:
    store = Store(num_replicates=1)
    for file in store.files.values():
        file["probabilities"] = np.tile(np.float32([0.9, 0.1, 0.0]), (len(file["labels"]), 1))
        file["labels"] = np.zeros_like(file["labels"])
    (report,) = describe(store.vote(vote={}))
    assert report.classes[2].f1 == (None, None)
    assert tabulate_classes(report)[-1].cells[2] == "-"
