"""Errors in devices, installed packages, clusters and trackers."""

from bakeoff.explanations.record import Explanation

EXPLANATIONS = (
    Explanation(
        code="BK501",
        title="A package is not installed",
        meaning="An optional package is needed for what was asked, and is missing or does not work.",
        remedy="Install it as the message says, in the environment of bakeoff.",
        example='serve needs starlette and uvicorn: pip install "bakeoff[serve]".',
    ),
    Explanation(
        code="BK502",
        title="No such device",
        meaning="The device named by `--device` is not in this machine, or the installed torch was built without it.",
        remedy="`--device auto` takes all NVIDIA GPUs, or the CPU. `bakeoff doctor` shows what was found.",
        example="--device cuda: no NVIDIA GPU was found. Use --device cpu, or check that nvidia-smi works.",
    ),
    Explanation(
        code="BK503",
        title="The Ray cluster cannot be used",
        meaning="No cluster answers, or a node has other versions of Python, torch or bakeoff, on which results would "
        "depend.",
        remedy="Start bakeoff on a machine of the cluster, and install the same versions on every node.",
        example="no Ray cluster at auto: could not find any running Ray instance",
    ),
    Explanation(
        code="BK504",
        title="A tracker cannot be used",
        meaning="What a study should be logged to is malformed, cannot be written, does not answer, or lacks a key. "
        "Trackers never stop a run: what they miss is logged by the next one.",
        remedy="Write `--log NAME:TARGET` as [trackers.md](trackers.md) shows; then `bakeoff log STUDY`.",
        example="wandb:cats: no API key. Run `wandb login`, or set WANDB_MODE=offline.",
    ),
    Explanation(
        code="BK505",
        title="A worker died",
        meaning="A worker process ended before its task, often for lack of memory.",
        remedy="Run the same command again, with fewer `--workers`; finished work is kept.",
        example="A worker died, perhaps for lack of memory. What is stored is kept: run the same command again, with "
        "fewer --workers.",
    ),
    Explanation(
        code="BK506",
        title="The web server cannot serve",
        meaning="`bakeoff serve` cannot listen at this address, or a photo sent to it is incomplete or too large.",
        remedy="Choose another `--port`, or 0 for any free one.",
        example="port 8765 at 127.0.0.1 is in use. Choose another with --port, or 0 for any free one.",
    ),
    Explanation(
        code="BK507",
        title="An installed package adds something that cannot be used",
        meaning="A package's entry point cannot be loaded, is not a record of the right kind, or has a name that is "
        "taken.",
        remedy="Correct or uninstall the package that the message names. `bakeoff.testing` checks entries.",
        example="my-package adds 'adam', a name that bakeoff has already.",
    ),
)
