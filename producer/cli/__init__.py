"""The command ``stepline``: one module a command, all of them thin over the public API."""

from producer.cli.entry import main

__all__ = ["main"]
