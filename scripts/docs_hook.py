"""MkDocs hook: fills pages of docs/ with what is generated from the code, and takes in files from outside of docs/.

A line `<!-- generated: KIND ARGUMENT -->` in a page is replaced when the site is built, so no list of settings, choices
or options is kept by hand, and the page says on its own where else the list is found.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pages import api, catalog, commands, result, studies, study_file

ROOT = Path(__file__).resolve().parent.parent

GENERATED = re.compile(r"^<!-- generated: (\w+)(?: ([\w.-]+))? -->$", flags=re.MULTILINE)
LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<path>[\w./-]+)(?P<anchor>#[\w-]+)?\)")


WRITERS: Mapping[str, Callable[..., str]] = {
    "api": api.write,
    "catalog": catalog.write,
    "commands": commands.write,
    "layers": study_file.write_layers,
    "record": study_file.write_record,
    "result": result.write,
    "studies": studies.write,
    "study": study_file.write,
}
"""What a marker's KIND calls, with its ARGUMENT if it has one."""

SHOWN = {
    "examples/plugin/README.md": "plugin.md",
    "CHANGELOG.md": "changelog.md",
    "ROADMAP.md": "roadmap.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security-policy.md",
    "CODE_OF_CONDUCT.md": "conduct.md",
}
"""Files of the repository that are pages too, if they are there, and the names of the pages."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are files of the repository."""
    for source, page in SHOWN.items():
        if (ROOT / source).exists():
            files.append(File.generated(config, page, content=(ROOT / source).read_text("utf-8")))
    return files


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave pages out of the navigation whose file is not there."""
    missing = {page for source, page in SHOWN.items() if not (ROOT / source).exists()}
    config.nav = _leave_out(config.nav or [], missing)
    return config


def _leave_out(items: list[Any], missing: Set[str]) -> list[Any]:
    kept = []
    for item in items:
        if not isinstance(item, dict):
            kept.append(item)
            continue
        title, value = next(iter(item.items()))
        if isinstance(value, list):
            kept.append({title: _leave_out(value, missing)})
        elif value not in missing:
            kept.append(item)
    return kept


def on_page_markdown(markdown: str, page: Page, **context: object) -> str:
    """Fill the page with what is generated, and turn links to files of the repository into links to pages."""
    filled = GENERATED.sub(lambda found: WRITERS[found[1]](*filter(None, [found[2]])), markdown)
    sources = {name: source for source, name in SHOWN.items()}
    source = ROOT / sources.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    up = "../" * page.file.src_uri.count("/")
    return LINK.sub(lambda found: _redirect(found, source.parent, up), filled)


def _redirect(found: re.Match[str], folder: Path, up: str) -> str:
    """Return a link as it is on the site; one to a file that is no page is its text, a broken one stays and fails."""
    target = Path(os.path.normpath(folder / found["path"]))
    if not target.is_relative_to(ROOT) or not target.exists():
        return found[0]
    name = target.relative_to(ROOT).as_posix()
    if name.startswith("docs/"):
        return f"[{found['text']}]({up}{name.removeprefix('docs/')}{found['anchor'] or ''})"
    return f"[{found['text']}]({up}{SHOWN[name]}{found['anchor'] or ''})" if name in SHOWN else found["text"]
