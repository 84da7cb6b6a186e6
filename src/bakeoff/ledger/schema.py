"""The ledger's tables. A change to them raises SCHEMA_VERSION."""

from __future__ import annotations

SCHEMA_VERSION = 2

MIGRATIONS: dict[int, tuple[str, ...]] = {
    1: ("ALTER TABLE studies ADD COLUMN facts TEXT NOT NULL DEFAULT '{}'",),
}
"""What turns the tables of a version into those of the next."""

TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);

-- A study as it was asked. Its id is the hash of its content, so an edited study is another one.
CREATE TABLE studies (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, document TEXT NOT NULL, numeric TEXT NOT NULL,
    command TEXT NOT NULL, created_at TEXT NOT NULL, seconds REAL NOT NULL DEFAULT 0,
    -- By block: shape, class names, number, fingerprint and notes of its images.
    facts TEXT NOT NULL DEFAULT '{}'
);

-- Where a trial stands in a study. One trial may serve several studies.
CREATE TABLE placements (
    study_id TEXT NOT NULL REFERENCES studies(id), position INTEGER NOT NULL, trial_id TEXT NOT NULL,
    block TEXT NOT NULL, arm TEXT NOT NULL, replicate INTEGER NOT NULL, fold INTEGER, PRIMARY KEY (study_id, position)
);

-- One row per trial that has come to its end.
CREATE TABLE trials (
    id TEXT PRIMARY KEY, content TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('done', 'diverged', 'failed')),
    reason TEXT NOT NULL DEFAULT '', num_epochs INTEGER NOT NULL, best_epoch INTEGER, stop TEXT, seconds REAL,
    num_parameters INTEGER, metrics TEXT NOT NULL, cohort_id TEXT NOT NULL, machine TEXT NOT NULL,
    finished_at TEXT NOT NULL
);

-- One row per trial and epoch. times_trained counts real training, not reading back; it is 1.
CREATE TABLE epochs (
    trial_id TEXT NOT NULL, epoch INTEGER NOT NULL, train TEXT NOT NULL, validation TEXT NOT NULL,
    seconds REAL NOT NULL, images_per_second REAL NOT NULL, times_trained INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (trial_id, epoch)
) WITHOUT ROWID;

-- Every opening of a test split, and what each trial scored on it.
CREATE TABLE exams (
    id INTEGER PRIMARY KEY, study_id TEXT NOT NULL REFERENCES studies(id), opened_at TEXT NOT NULL,
    num_trials INTEGER NOT NULL
);
CREATE TABLE exam_results (
    trial_id TEXT PRIMARY KEY, exam_id INTEGER NOT NULL REFERENCES exams(id), metrics TEXT NOT NULL,
    fingerprint TEXT NOT NULL
);

-- What a probe of numeric modes measured on a machine, for the studies after.
CREATE TABLE probes (key TEXT PRIMARY KEY, result TEXT NOT NULL, measured_at TEXT NOT NULL);

-- What went wrong on the way: lost workers, exceptions, cohorts taken apart.
CREATE TABLE incidents (at TEXT NOT NULL, cohort_id TEXT NOT NULL, kind TEXT NOT NULL, message TEXT NOT NULL);
"""
