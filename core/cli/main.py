"""The command group, and the one place that turns errors into a line on stderr and an exit code."""

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

import click
from click.shell_completion import shell_complete

import core
from core.cli.output import note, note_lines, print_error
from core.errors import (
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_USAGE,
    GPU_UNUSABLE,
    UserError,
    did_you_mean,
    is_gpu_unusable,
    is_out_of_memory,
    os_error_text,
)
from core.files.environment import require_working_directory, silence

COMMANDS: Final = {
    "schedules": "Compare noise schedules by how much of the image each leaves at the last step.",
    "data": "Make, show, list or remove training images.",
    "train": "Train the runs of a recipe, in the foreground or background.",
    "sample": "Draw new images with a trained run.",
    "denoise": "Noise your own image and denoise it with a trained run.",
    "restore": "Restore masked, noisy, small, blurred or JPEG images with a trained run.",
    "evaluate": "Evaluate samples (shape, grey, distribution, novelty) and the network that drew them.",
    "compare": "Compare evaluated runs, and show which differences are more than noise.",
    "explain": "Explain why runs are worse than the best of them.",
    "figures": "Draw the thesis's figures, and more, from any runs.",
    "report": "Write a one-page HTML report with figures, tables and provenance of any runs.",
    "runs": "List, show, start, stop, resume, clone, delete or pull runs.",
    "doctor": "Show what this machine has, what will be used, and why.",
}
"""Summary of each command, which lives in the module of its name; kept here so that --help imports none of them."""

_COMPLETION_VARIABLE: Final = "_CORE_COMPLETE"


class LazyGroup(click.Group):
    """Command group that imports the module of a command only when that command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"core.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            hint = did_you_mean(args[0], COMMANDS) or f"expected one of {', '.join(COMMANDS)}"
            raise click.UsageError(f"no command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 success, 2 wrong usage or configuration, 3 a run failed, 130 interrupted.",
)
@click.version_option(core.__version__, prog_name="core", message="%(prog)s %(version)s")
def cli() -> None:
    """Train, watch and compare small diffusion models without the dashboard.

    Results go to stdout (as JSON with --json), everything else to stderr.
    """
    require_working_directory()


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Args:
        arguments: the words after the program's name.

    Returns:
        The exit code: 0 success, 2 wrong usage or configuration, 3 a run failed, 130 interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        # A character outside the encoding of the terminal is escaped, where it would otherwise end in a traceback.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # both are text files here
    instruction = os.environ.get(_COMPLETION_VARIABLE)
    if instruction:
        return shell_complete(cli, {}, "core", _COMPLETION_VARIABLE, instruction)
    try:
        with cli.make_context("core", list(arguments)) as context:
            cli.invoke(context)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        note_lines(error.format_message())
        return EXIT_USAGE
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "core"
        print_error(f"{error.format_message().rstrip('.')}; see `{path} --help`")
        return EXIT_USAGE
    except click.ClickException as error:
        print_error(error.format_message())
        return EXIT_USAGE
    except UserError as error:
        print_error(str(error))
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        note("interrupted")
        return EXIT_INTERRUPTED
    except (MemoryError, RuntimeError, AssertionError, ImportError) as error:
        if is_gpu_unusable(error):
            print_error(f"{str(error).splitlines()[0]}: {GPU_UNUSABLE}")
        elif is_out_of_memory(error):
            print_error("out of memory; ask for fewer images or runs at once, or stop other programs")
        else:
            raise
        return EXIT_USAGE
    except BrokenPipeError:
        # The reader of the pipe closed it early, for example `| head`.
        silence(sys.stdout)
        return EXIT_OK
    except OSError as error:
        if error.strerror is None:
            raise
        silence(sys.stdout)
        print_error(os_error_text(error))
        return EXIT_USAGE
    return EXIT_OK
