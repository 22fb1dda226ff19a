"""What all verbs of the command line have in common."""

from __future__ import annotations

import click


class Verbs(click.Group):
    """A group that names the verbs it knows when it is given another."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            ctx.fail(f"unknown command {args[0]!r}; known: {', '.join(sorted(self.commands))}")
        return super().resolve_command(ctx, args)


def several(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """Take names one by one or with commas between, as in float16,bfloat16."""
    del context, option
    return tuple(name for each in given for name in each.split(",") if name)
