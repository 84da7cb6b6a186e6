"""The ledger's tables. Increase SCHEMA_VERSION with every change."""

from __future__ import annotations

SCHEMA_VERSION = 5

_TRIALS = """
CREATE TABLE trials (
    id TEXT PRIMARY KEY, content TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('done', 'diverged', 'failed', 'pruned')),
    reason TEXT NOT NULL DEFAULT '', num_epochs INTEGER NOT NULL, best_epoch INTEGER, stop TEXT, seconds REAL,
    num_parameters INTEGER, metrics TEXT NOT NULL, cohort_id TEXT NOT NULL, machine TEXT NOT NULL,
    finished_at TEXT NOT NULL
)"""

_PAUSES = """
CREATE TABLE pauses (
    trial_id TEXT NOT NULL, epoch INTEGER NOT NULL, cohort_id TEXT NOT NULL, PRIMARY KEY (trial_id, epoch)
) WITHOUT ROWID"""

_CANDIDATES = """
CREATE TABLE candidates (
    study_id TEXT NOT NULL REFERENCES studies(id), block TEXT NOT NULL, kind TEXT NOT NULL, number INTEGER NOT NULL,
    group_number INTEGER NOT NULL, generation INTEGER NOT NULL, parents TEXT NOT NULL, changes TEXT NOT NULL,
    notes TEXT NOT NULL, trial_ids TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL, scores TEXT NOT NULL,
    same_as TEXT NOT NULL, is_winner INTEGER NOT NULL, PRIMARY KEY (study_id, block, kind, number)
) WITHOUT ROWID"""

_FEATURES = """
CREATE TABLE features (trial_id TEXT PRIMARY KEY, key TEXT NOT NULL, seconds REAL NOT NULL) WITHOUT ROWID"""

_LOOKS = """
CREATE TABLE looks (
    id INTEGER PRIMARY KEY, study_id TEXT NOT NULL REFERENCES studies(id), looked_at TEXT NOT NULL
)"""

_LOOK_TRIALS = """
CREATE TABLE look_trials (
    look_id INTEGER NOT NULL REFERENCES looks(id), block TEXT NOT NULL, arm TEXT NOT NULL, trial_id TEXT NOT NULL,
    replicate INTEGER NOT NULL, PRIMARY KEY (look_id, block, arm, trial_id)
) WITHOUT ROWID"""
"""The key's columns must come first: otherwise the integrity check of SQLite 3.40 reports a NULL that is not there."""

IS_FINAL = "p.stage = 'final'"

EARLIER_LOOKS = """
SELECT e.id, e.study_id, e.opened_at, p.block, p.arm, p.replicate, p.trial_id
FROM exams e JOIN placements p ON p.study_id = e.study_id JOIN exam_results r ON r.trial_id = p.trial_id
WHERE r.exam_id <= e.id AND {is_final} AND NOT EXISTS (
    SELECT 1 FROM exams again WHERE again.study_id = e.study_id AND again.id > e.id AND NOT EXISTS (
        SELECT 1 FROM exam_results s JOIN trials t ON t.id = s.trial_id
        WHERE s.exam_id = again.id AND t.finished_at > e.opened_at
    )
)"""
"""The looks of ledgers that did not record them: their final tests, except those that a later one only resumed."""

MIGRATIONS: dict[int, tuple[str, ...]] = {
    1: ("ALTER TABLE studies ADD COLUMN facts TEXT NOT NULL DEFAULT '{}'",),
    2: (
        "ALTER TABLE studies ADD COLUMN asking INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE placements ADD COLUMN stage TEXT NOT NULL DEFAULT 'final'",
        "ALTER TABLE trials RENAME TO earlier_trials",  # a check cannot be altered in place
        _TRIALS,
        "INSERT INTO trials SELECT * FROM earlier_trials",
        "DROP TABLE earlier_trials",
        _PAUSES,
        _CANDIDATES,
    ),
    3: (_FEATURES,),
    4: (
        "ALTER TABLE exam_results ADD COLUMN held_out TEXT",
        _LOOKS,
        _LOOK_TRIALS,
        f"INSERT INTO looks SELECT DISTINCT id, study_id, opened_at FROM ({EARLIER_LOOKS.format(is_final=IS_FINAL)})",
        "INSERT INTO look_trials SELECT id, block, arm, trial_id, replicate FROM "
        f"({EARLIER_LOOKS.format(is_final=IS_FINAL)})",
    ),
}
"""The migration from each version to the next."""

TABLES = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);

-- A study. Its id is the hash of its content, so an edited study is a new one.
CREATE TABLE studies (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, document TEXT NOT NULL, numeric TEXT NOT NULL,
    command TEXT NOT NULL, created_at TEXT NOT NULL, seconds REAL NOT NULL DEFAULT 0,
    -- By block: shape, class names, number, fingerprint and notes of its images.
    facts TEXT NOT NULL DEFAULT '{{}}',
    -- Whether its strategy may ask for more trials than are placed here.
    asking INTEGER NOT NULL DEFAULT 0
);

-- A trial's position in a study, and whether it belongs to a search or the comparison. Studies may share trials.
CREATE TABLE placements (
    study_id TEXT NOT NULL REFERENCES studies(id), position INTEGER NOT NULL, trial_id TEXT NOT NULL,
    block TEXT NOT NULL, arm TEXT NOT NULL, replicate INTEGER NOT NULL, fold INTEGER,
    stage TEXT NOT NULL DEFAULT 'final', PRIMARY KEY (study_id, position)
);

-- One row per ended trial. A pruned one was stopped by a search; another study may continue its training.
{_TRIALS.strip()};

-- Which trials paused after which epochs, and the cohort whose checkpoint they resume from.
{_PAUSES.strip()};

-- What searches proposed, its origin and its outcome. Rebuilt from the trials when a search resumes.
{_CANDIDATES.strip()};

-- Which trials trained on features of a frozen body, the features' cache key, and the time taken to compute them, once
-- for all trials with this key. It is not part of the trials' own seconds.
{_FEATURES.strip()};

-- One row per trial and epoch. times_trained counts actual training, not reports repeated on resume; it is 1.
CREATE TABLE epochs (
    trial_id TEXT NOT NULL, epoch INTEGER NOT NULL, train TEXT NOT NULL, validation TEXT NOT NULL,
    seconds REAL NOT NULL, images_per_second REAL NOT NULL, times_trained INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (trial_id, epoch)
) WITHOUT ROWID;

-- Every opening of a test split, and each trial's scores on it and, with folds, on its held-out fold.
CREATE TABLE exams (
    id INTEGER PRIMARY KEY, study_id TEXT NOT NULL REFERENCES studies(id), opened_at TEXT NOT NULL,
    num_trials INTEGER NOT NULL
);
CREATE TABLE exam_results (
    trial_id TEXT PRIMARY KEY, exam_id INTEGER NOT NULL REFERENCES exams(id), metrics TEXT NOT NULL,
    fingerprint TEXT NOT NULL, held_out TEXT
);

-- Which trials' test results were seen together: at every final test, and by every study whose trials had all been
-- evaluated before.
{_LOOKS.strip()};
{_LOOK_TRIALS.strip()};

-- What a probe of numeric modes measured on a machine, for later studies.
CREATE TABLE probes (key TEXT PRIMARY KEY, result TEXT NOT NULL, measured_at TEXT NOT NULL);

-- What went wrong during runs: lost workers, exceptions, cohorts split up.
CREATE TABLE incidents (at TEXT NOT NULL, cohort_id TEXT NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL);
"""
