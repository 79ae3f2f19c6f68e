"""Runs the Python blocks of one page, one after the other, in one namespace: a program that is told them on stdin.

Each line is ``{"text", "page", "line"}``, or ``{"import"}`` with a module's name; each answer is ``{"error"}``: a
traceback, or null.
"""

import importlib
import json
import os
import sys
import traceback
from typing import Any


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the blocks print must not stand between the answers
    sys.path.insert(0, os.getcwd())
    namespace: dict[str, Any] = {"__name__": "page"}
    with answers:
        for line in sys.stdin:
            answers.write(json.dumps({"error": _error_of(json.loads(line), namespace)}) + "\n")
            answers.flush()


def _error_of(request: dict[str, Any], namespace: dict[str, Any]) -> str | None:
    try:
        if "import" in request:
            importlib.import_module(request["import"])
        else:
            # As many empty lines before it as in its page: the traceback then names the line there.
            text = "\n" * (request["line"] - 1) + request["text"]
            exec(compile(text, request["page"], "exec"), namespace)
    except BaseException:
        return traceback.format_exc()
    return None


if __name__ == "__main__":
    main()
