"""The reference of the command line: every command with its arguments and options."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Any

import typer

from bakeoff.cli import app


def write() -> str:
    """Return a section for every command."""
    return "\n\n".join(part for name, command in list_commands() for part in _write_command(name, command))


def list_commands() -> Iterator[tuple[str, Any]]:
    """Yield every command by its full name, such as `bakeoff data show`; groups are followed by their commands."""
    yield from _list_below("bakeoff", typer.main.get_command(app))


def _list_below(name: str, group: Any) -> Iterator[tuple[str, Any]]:
    for key, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _list_below(f"{name} {key}", command)
        else:
            yield f"{name} {key}", command


def _write_command(name: str, command: Any) -> Iterator[str]:
    visible = [each for each in command.params if not getattr(each, "hidden", False)]
    arguments = [each for each in visible if each.param_type_name == "argument"]
    options = [each for each in visible if each.param_type_name == "option"]
    yield f"## {name}"
    yield "\n".join(line.strip() for line in (command.help or "").splitlines())
    yield "    " + " ".join([name, *map(_format_argument, arguments), *(["[OPTIONS]"] if options else [])])
    for parameter in (*arguments, *options):
        yield _write_parameter(parameter)


def _format_argument(argument: Any) -> str:
    text = _name_argument(argument) + ("..." if argument.nargs == -1 else "")
    return text if argument.required else f"[{text}]"


def _name_argument(argument: Any) -> str:
    return str(argument.metavar or argument.name).strip("[]").upper()


def _write_parameter(parameter: Any) -> str:
    """Return an argument or option as an entry of a definition list."""
    if parameter.param_type_name == "argument":
        head = f"`{_name_argument(parameter)}`"
    else:
        head = ", ".join(f"`{option}`" for option in (*parameter.opts, *parameter.secondary_opts))
        head += f" `{value}`" if (value := _name_value(parameter)) else ""
    return f"{head}\n:   {' '.join([(parameter.help or '').strip(), *_list_facts(parameter)])}"


def _name_value(option: Any) -> str:
    """Return what an option's value is called; empty for switches."""
    if option.is_flag:
        return ""
    return str(option.metavar or "|".join(_list_choices(option)) or option.type_descriptor.annotation.__name__.upper())


def _list_choices(option: Any) -> list[str]:
    kind = option.type_descriptor.annotation
    return [str(choice.value) for choice in kind] if isinstance(kind, type) and issubclass(kind, Enum) else []


def _list_facts(parameter: Any) -> Iterator[str]:
    default = parameter.default.value if isinstance(parameter.default, Enum) else parameter.default
    if parameter.envvar:
        yield f"Also by the environment variable `{parameter.envvar}`."
    if default is True:
        yield f"Default: `{parameter.opts[0]}`."
    elif default not in (None, False, "", ()):
        yield f"Default: `{default}`."
