"""Groups of images that must not be on two sides of a split: of one patient, object, video or burst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bakeoff.data.listing import ImageFile


def unite(files: Sequence[ImageFile], clusters: Sequence[Sequence[int]]) -> tuple[ImageFile, ...]:
    """Unite declared groups with clusters of files that must be on one side too, such as near-duplicates.

    Args:
        files: all of them, with their declared groups.
        clusters: numbers of files that belong together; a file may be in several.

    Returns:
        The files, in order. The group of each names its connected component: the least of the declared groups in it,
        else its least path. A file that stands alone keeps the group it has.
    """
    parents = list(range(len(files)))

    def find(number: int) -> int:
        while parents[number] != number:
            parents[number] = parents[parents[number]]
            number = parents[number]
        return number

    first_of_group: dict[str, int] = {}
    declared = [(first_of_group.setdefault(file.group, i), i) for i, file in enumerate(files) if file.group]
    for one, other in (*declared, *((cluster[0], each) for cluster in clusters for each in cluster)):
        parents[find(other)] = find(one)
    components: dict[int, list[int]] = {}
    for number in range(len(files)):
        components.setdefault(find(number), []).append(number)
    united = list(files)
    for members in components.values():
        if len(members) > 1:
            name = _name_component([files[number] for number in members], first_of_group)
            for number in members:
                united[number] = replace(files[number], group=name)
    return tuple(united)


def _name_component(files: Sequence[ImageFile], declared: dict[str, int]) -> str:
    names = [file.group for file in files if file.group]
    if names:
        return min(names)
    name = min(file.shown for file in files)
    while name in declared:
        name += "'"
    return name
