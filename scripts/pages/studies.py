"""The page of shipped studies: question, cost, what is known, and the file."""

from __future__ import annotations

from collections.abc import Iterator

from bakeoff.study.load import ShownStudy, list_shipped


def write() -> str:
    """Return a section for every shipped study."""
    return "\n\n".join(part for study in list_shipped() for part in _write_study(study))


def _write_study(study: ShownStudy) -> Iterator[str]:
    about = study.about
    yield f"## {study.name}"
    yield study.question
    yield "\n".join(f"    {command}" for command in about.commands)
    yield "\n".join(f"- {line}" for line in _list_facts(study))
    if about.known:
        yield about.known
    body = "\n".join(f"    {line}" for line in ["```yaml", *study.text.splitlines(), "```"])
    yield f'??? note "The file"\n\n{body}'


def _list_facts(study: ShownStudy) -> Iterator[str]:
    about = study.about
    if about.trials:
        yield f"Trials: {about.trials}."
    if about.cost:
        yield f"Takes {about.cost}."
    if study.quick is not None:
        yield "Quick version: `--quick`" + (f", {study.quick.cost}." if study.quick.cost else ".")
    if about.source:
        yield f"Source: {about.source}."
