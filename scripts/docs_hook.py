"""MkDocs hook: fills pages of docs/ with what is generated from the code, and takes in files from outside of docs/.

A line `<!-- generated: KIND ARGUMENT -->` in a page is replaced when the site is built, so no list of settings, choices
or options is kept by hand, and the page says on its own where else the list is found.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pages import api, catalog, commands, result, studies, study_file

ROOT = Path(__file__).resolve().parent.parent

GENERATED = re.compile(r"^<!-- generated: (\w+)(?: ([\w.-]+))? -->$", flags=re.MULTILINE)
OUTSIDE = re.compile(r"\]\((?:\.\./)*(?P<path>[\w./-]+)(?P<anchor>#[\w-]+)?\)")


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
            text = (ROOT / source).read_text("utf-8")
            # From the top of the repository, docs/ is a folder; among the pages it is the top.
            files.append(File.generated(config, page, content=re.sub(r"\]\((?:\.\./)*docs/", "](", text)))
    return files


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add to the navigation's last section, on the project, the repository's files that are pages."""
    project = next(iter(config.nav[-1].values()))
    project[:0] = [page for source, page in SHOWN.items() if "/" not in source and (ROOT / source).exists()]
    return config


def on_page_markdown(markdown: str, page: Page, **context: object) -> str:
    """Fill the page with what is generated, and turn links to files that are pages into links to these."""
    filled = GENERATED.sub(lambda found: WRITERS[found[1]](*filter(None, [found[2]])), markdown)
    up = "../" * page.file.src_uri.count("/")
    return OUTSIDE.sub(lambda found: _redirect(found, up), filled)


def _redirect(found: re.Match[str], up: str) -> str:
    """Return a link to the page that shows a file of the repository; other links stay, and fail if they are broken."""
    page = SHOWN.get(found["path"].removeprefix("../"))
    return f"]({up}{page}{found['anchor'] or ''})" if page else found[0]
