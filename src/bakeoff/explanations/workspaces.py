"""Errors in a workspace: its ledger and the files beside it."""

from bakeoff.explanations.record import Explanation

EXPLANATIONS = (
    Explanation(
        code="BK401",
        title="No ledger",
        meaning="The folder is no workspace: no study has been run in it.",
        remedy="Go to the folder in which you ran the study, or name its workspace with `--workspace DIR`. Without it, "
        "bakeoff uses the folder runs in the current folder.",
        example="runs: no ledger here. Run a study first, or give its --workspace DIR.",
    ),
    Explanation(
        code="BK402",
        title="No such study in the workspace",
        meaning="The workspace has no study of this name, or several, after a study file was changed.",
        remedy="`bakeoff status` lists the studies with their ids. An id, or its beginning, names one of several.",
        example="study 'rate' is not in this workspace. It contains: networks, rates. Did you mean 'rates'?",
    ),
    Explanation(
        code="BK403",
        title="Not there yet",
        meaning="The command needs a result that the study does not have yet: a finished trial, or its final test.",
        remedy="Finish the study: run the same `bakeoff run` again, which resumes it.",
        example="No trial of block 'digits' is finished: run the study first.",
    ),
    Explanation(
        code="BK404",
        title="The workspace is in use",
        meaning="Another bakeoff runs in this workspace; the ledger has one writer.",
        remedy="Wait for it (`bakeoff status` shows its progress), or use another `--workspace`.",
        example="runs: another bakeoff is running in this workspace. Wait for it, or use another --workspace DIR.",
    ),
    Explanation(
        code="BK405",
        title="A file cannot be written",
        meaning="Permissions, a missing folder, or a file in the place of a folder keep bakeoff from writing.",
        remedy="Choose a folder you can write. What was finished is in the ledger: the same command continues.",
        example="runs: this workspace cannot be written (Permission denied). Choose another with --workspace DIR.",
    ),
    Explanation(
        code="BK406",
        title="A ledger is damaged",
        meaning="The ledger, or a file beside it, is not one of bakeoff's, or holds what bakeoff never writes.",
        remedy="Restore it from a copy, or choose another workspace. `bakeoff doctor` checks a workspace.",
        example="runs/ledger.sqlite: this is not a readable ledger (file is not a database).",
    ),
    Explanation(
        code="BK407",
        title="Written by a newer bakeoff",
        meaning="The format of a ledger or model is newer than this version reads.",
        remedy="Upgrade bakeoff, or choose another workspace.",
        example="runs/ledger.sqlite: this ledger was written by a newer bakeoff (its format is 99, this one reads up "
        "to "
        "5). Upgrade bakeoff, or choose another workspace with --workspace DIR.",
    ),
    Explanation(
        code="BK408",
        title="Stored files are missing or damaged",
        meaning="The ledger names predictions, weights or a checkpoint that are no longer there, or not readable.",
        remedy="Restore the file, or run the study again, which trains what is lost. `bakeoff doctor` lists such "
        "files.",
        example="The weights of trial 4f3a are missing: runs/weights/4f3a.safetensors.",
    ),
    Explanation(
        code="BK409",
        title="The disk fails",
        meaning="A disk is full, read-only or failing. Trying again would not help, so the run ends.",
        remedy="Make room or repair the disk, then run the same command: it resumes from the last finished epoch.",
        example="runs/checkpoints/4f3a.safetensors: cannot be written: No space left on device.",
    ),
)
