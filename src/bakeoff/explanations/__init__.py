"""What each error code means and what to do: the texts of `bakeoff explain` and of docs/errors.md."""

from bakeoff.explanations import images, machine, networks, results, studies, workspaces
from bakeoff.explanations.record import Explanation

CHAPTERS: dict[str, tuple[Explanation, ...]] = {
    "Studies": studies.EXPLANATIONS,
    "Images": images.EXPLANATIONS,
    "Networks, weights and metrics": networks.EXPLANATIONS,
    "Workspaces": workspaces.EXPLANATIONS,
    "The machine, packages and trackers": machine.EXPLANATIONS,
    "Options, results of other tools, models": results.EXPLANATIONS,
}
"""All explanations by the title of their chapter, in the order of their codes."""

EXPLANATIONS = {each.code: each for chapter in CHAPTERS.values() for each in chapter}
"""All explanations by code."""
