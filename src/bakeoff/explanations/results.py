"""Errors in options, in results to judge, and in models to export."""

from bakeoff.explanations.record import Explanation

EXPLANATIONS = (
    Explanation(
        code="BK601",
        title="Options do not fit",
        meaning="An option or argument has a value that is not allowed, or does not go with another.",
        remedy="Do as the message says; `bakeoff COMMAND --help` lists the options.",
        example="--table goes with --format csv.",
    ),
    Explanation(
        code="BK602",
        title="A requirement cannot be read",
        meaning="`--require` needs the form 'ARM RELATION ARM', with arms and blocks that the study has. This is not "
        "the "
        "exit status 3 of a requirement that is not met.",
        remedy="Write, for example, `--require 'new better-or-equivalent old'`. [ci.md](ci.md) lists the relations.",
        example="requirement 'new bettr old': unknown relation 'bettr'.",
    ),
    Explanation(
        code="BK701",
        title="No results to judge",
        meaning="The file or folder is missing, belongs to no known tool or to several, or cannot be read by it.",
        remedy="Give a table with a row per run, a folder of predictions, or runs of a tool that "
        "[importers.md](importers.md) lists. Pickles are never opened: save results as CSV or JSON.",
        example="results.pkl is a pickle, which can run any code when it is opened: bakeoff opens none.",
    ),
    Explanation(
        code="BK702",
        title="A table of results is damaged",
        meaning="The file is not CSV, JSON lines or Parquet, is not UTF-8, has no rows or too many, or rows of "
        "different lengths.",
        remedy="Export the table again, with a header and a row per run.",
        example="scores.csv: line 4 has 2 values for 3 columns.",
    ),
    Explanation(
        code="BK703",
        title="Which column is which?",
        meaning="It is not clear which column holds the arm, the replicate or the score, or a named one is missing.",
        remedy="Say it: `--map arm=COLUMN`, `--map replicate=COLUMN`, `--metric COLUMN`. [judge.md](judge.md) has "
        "more.",
        example="scores.csv: which column tells arms apart? Say --map arm=COLUMN.",
    ),
    Explanation(
        code="BK704",
        title="Not enough runs to judge",
        meaning="There is one arm only, fewer than two replicates of each, the same run twice, or no finished run.",
        remedy="Run each arm with several seeds: two say something, three or more give verdicts.",
        example="scores.csv: there is one arm, 'adam', and nothing to compare it with. Say which column tells arms "
        "apart: --map arm=COLUMN.",
    ),
    Explanation(
        code="BK705",
        title="Scores are not comparable numbers",
        meaning="A score is not a finite number, or some are shares from 0 to 1 and others percentages.",
        remedy="Correct the rows, or leave runs out with `--where`.",
        example="accuracy has shares and percentages: 0.97 and 98.1. Write all of them from 0 to 1, or all from 0 to "
        "100.",
    ),
    Explanation(
        code="BK706",
        title="Predictions do not fit each other",
        meaning="Runs predict other images or other classes, labels differ, or numbers are not probabilities.",
        remedy="Give all runs of a block the same images, labels and classes, in one order, and probabilities after "
        "softmax.",
        example="adam/seed1.npz has numbers from -8.1 to 12.4 in place of probabilities (0..1). Apply softmax first.",
    ),
    Explanation(
        code="BK801",
        title="Not a model of bakeoff's",
        meaning="A weights file does not describe itself, or its description is damaged.",
        remedy="Use a file that `bakeoff run` or `bakeoff export` wrote with this version or later.",
        example="model.safetensors does not describe itself: it is not a model of bakeoff, or an early one.",
    ),
    Explanation(
        code="BK802",
        title="A model cannot be exported in this format",
        meaning="The network or an augmentation has no counterpart in the format, or the exported file predicts "
        "something else than the trial did: every export is compared before it is kept.",
        remedy="Export to torch, which every network of bakeoff supports, or to onnx.",
        example="cnn is not a network of timm: export it to torch or onnx.",
    ),
    Explanation(
        code="BK803",
        title="The winner cannot be trained on all images",
        meaning="`export --refit` trains without validation images, which the recipe needs, or the training failed.",
        remedy="Export without `--refit`.",
        example="adam lowers its learning rate by validation scores (plateau), and a refit has no validation images: "
        "export it without --refit.",
    ),
    Explanation(
        code="BK804",
        title="No heat maps for this model",
        meaning="Heat maps (Grad-CAM) are made of the feature maps of a convolution, and the network has none.",
        remedy="Predict without `--explain`, or choose another arm.",
        example="mlp has no feature maps, which heat maps (Grad-CAM) are made of.",
    ),
)
