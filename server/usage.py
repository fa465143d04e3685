"""How the command line explains itself: the library's own words in the language of the person at the terminal."""

from __future__ import annotations

import sys
from typing import Any

import typer
from typer import rich_utils
from typer.core import TyperCommand, TyperGroup

from .words import frame, say, translated

UsageError: Any = typer.BadParameter.__base__
"""The library's error for a command line that it can't read."""


class Spoken:
    """What groups and commands have in common."""

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        pieces = " ".join(self.collect_usage_pieces(ctx))  # type: ignore[attr-defined]
        formatter.write_usage(ctx.command_path, pieces, prefix=say("Usage: "))

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.help = say("Show this and end.")
        return option


class Command(Spoken, TyperCommand):
    """One of the commands."""


class Group(Spoken, TyperGroup):
    """The whole command line."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """As the library's; what it complains of is said in our words."""
        _name_panels()
        alone = extra.get("standalone_mode", True)
        try:
            result = super().main(*args, **{**extra, "standalone_mode": False})
        except UsageError as error:
            sentence = translated(error.format_message())
            error.format_message = lambda: sentence
            rich_utils.rich_format_error(error)
            sys.exit(error.exit_code)
        except typer.Abort:
            rich_utils.rich_abort_error()
            sys.exit(1)
        if alone:
            sys.exit(result if isinstance(result, int) else 0)
        return result


def _name_panels() -> None:
    """What the library draws around help and errors."""
    rich_utils.ARGUMENTS_PANEL_TITLE = say("Arguments")
    rich_utils.OPTIONS_PANEL_TITLE = say("Options")
    rich_utils.COMMANDS_PANEL_TITLE = say("Commands")
    rich_utils.ERRORS_PANEL_TITLE = say("Error")
    rich_utils.ABORTED_TEXT = say("Interrupted.")
    rich_utils.DEFAULT_STRING = frame("[default: {}]")
    rich_utils.ENVVAR_STRING = frame("[env var: {}]")
    rich_utils.REQUIRED_LONG_STRING = say("[required]")
    rich_utils.RICH_HELP = frame("Try [blue]'{command_path} {help_option}'[/] for help.")
