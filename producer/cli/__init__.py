"""The command ``stepline``: one module a command, all of them thin over the public API."""

from producer.cli.start import main

__all__ = ["main"]
