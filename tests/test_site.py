"""The documentation: the site builds without a broken link, is complete, and loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import yaml

import bakeoff

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from pages import catalog, commands, examples, result, schema, study_file  # noqa: E402
from pages.registries import list_kind  # noqa: E402

SMALLEST = {"question": "Which?", "recipe": {"network": "cnn"}, "arms": [{"optimizer": ["adam", "sgd"]}]}
VALIDATOR = jsonschema.Draft202012Validator(schema.load())
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), ROOT / "examples/plugin/README.md"])
KINDS = sorted(set(re.findall(r"generated: catalog (\w+)", "".join(path.read_text("utf-8") for path in PAGES))))


def test_site_builds_and_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "NO_MKDOCS_2_WARNING": "1"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    loaded = re.compile(
        r'<(?:script|img|iframe|source)[^>]+src="?https?:|<link[^>]+rel="?stylesheet[^>]+href="?https?:'
    )
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > len(list((ROOT / "docs").rglob("*.md")))
    for page in pages:
        text = page.read_text("utf-8")
        assert not loaded.search(text), page
        assert "generated:" not in text, page
    names = {f'id="{name}"' for name in ("data.subset", "recipe.epochs", "decide.margin")}
    assert all(name in (tmp_path / "reference" / "study-file.html").read_text("utf-8") for name in names)
    shown = (tmp_path / "reference" / "python.html").read_text("utf-8")
    assert all(f"bakeoff.{name}" in shown for name in bakeoff.__all__ if name != "__version__")


def test_every_kind_that_can_be_listed_has_a_page() -> None:
    from bakeoff.cli.listing import Listing

    assert {*KINDS, "studies", "strategies"} == {*Listing, "importers"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_is_on_its_page(kind: str) -> None:
    text = catalog.write(kind)
    for entry in list_kind(kind):
        assert f"{{ #{entry.name} }}" in text or f"`{entry.name}`" in text, entry.name
        for setting in set(getattr(getattr(entry, "settings", None), "model_fields", ())) - {"name"}:
            assert f"{{ #{entry.name}-{setting} }}" in text or ":" in entry.name, (entry.name, setting)


def test_every_command_and_option_is_listed() -> None:
    text = commands.write()
    for name, command in commands.list_commands():
        section = text.partition(f"## {name}\n")[2].partition("\n## ")[0]
        assert section, name
        shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
        for option in (option for parameter in shown for option in parameter.opts):
            assert not option.startswith("--") or f"`{option}`" in section, (name, option)


def test_every_key_of_a_result_is_listed() -> None:
    text = result.write()
    for name, record in result.result_schema()["$defs"].items():
        section = text.partition(f"## {name}\n")[2].partition("\n## ")[0]
        assert all(f"`{key}`" in section for key in record.get("properties", ())), name


def test_every_setting_has_an_example() -> None:
    sections = study_file.write().split("\n## ") + study_file.write().split("\n### ")
    found = {section.partition(" {")[0] for section in sections if "For example `" in section.partition("\n#")[0]}
    # `quick_of` and `found` are written by bakeoff; what a quick version costs is measured in few studies.
    settings = set(re.findall(r"^###? ([\w.]+) \{", study_file.write(), re.MULTILINE))
    assert settings - found <= {"quick_of", "quick.cost", "recipe.from.found", "question"}


@pytest.mark.parametrize("text", examples.list_written())
def test_examples_are_valid(text: str) -> None:
    example = yaml.safe_load(text)
    recipe = SMALLEST["recipe"] | example.pop("recipe", {})
    VALIDATOR.validate(SMALLEST | example | {"recipe": recipe})


def _list_links(path: Path) -> Iterator[str]:
    """Yield the links of a page to files, without those in code."""
    text = re.sub(r"```.*?```|`[^`]*`", "", path.read_text("utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" not in link and not link.startswith(("#", "mailto:")):
            yield link.partition("#")[0]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files_of_the_repository(path: Path) -> None:
    assert [link for link in _list_links(path) if not (path.parent / link).exists()] == []
