"""Compiles the patterns of rules and routes on RE2, where no pattern can hang, whatever the name."""

from functools import lru_cache
from typing import Final, Protocol, cast

import re2

CACHED_PATTERNS: Final = 1_024
"""Compiled patterns kept: more than any site has."""


class Pattern(Protocol):
    """A compiled pattern; ``search`` finds it anywhere in the text, unless it says otherwise itself."""

    def search(self, text: str) -> object | None:
        """Return a match, or None.

        Raises:
            UnicodeEncodeError: The text holds a lone surrogate.
        """


@lru_cache(maxsize=CACHED_PATTERNS)
def compile_pattern(text: str, *, ignore_case: bool) -> Pattern:
    """Return the compiled pattern.

    Raises:
        ValueError: It is no RE2 pattern; RE2 has no look-around and no back-references.
    """
    options = re2.Options()
    options.case_sensitive = not ignore_case
    options.log_errors = False
    try:
        return cast(Pattern, re2.compile(text, options))
    except re2.error as error:
        (reason,) = error.args
        said = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise ValueError(f"{text!r} is no RE2 pattern: {said}") from error
