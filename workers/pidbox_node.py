"""Commands of remote control whose form is wrong: set aside, where Celery would begin its mailbox anew for each."""

import json
from typing import Any, Final

from kombu.pidbox import Node

from config.broker_connection import REMOTE_CONTROL
from workers.dead_letters import DeadLetters

PARTS: Final = ("method", "arguments", "destination", "pattern", "matcher", "reply_to", "ticket")
"""What a command is made of."""

BAD_COMMAND: Final = "it is no command of a remote control"


def node_type(letters: DeadLetters) -> type[Node]:
    """Return the type of a worker's mailbox, which sets aside what has not the form of a command."""

    class CheckedNode(Node):
        """Obeys commands only."""

        def handle_message(self, body: Any, message: Any = None) -> Any:
            clock = message.headers.get("clock") if message else None
            if is_command(body) and _is(clock, int):
                return super().handle_message({part: body[part] for part in PARTS if part in body}, message)
            letters.take(REMOTE_CONTROL, json.dumps(body, default=repr).encode(), BAD_COMMAND)
            return None

    return CheckedNode


def is_command(body: Any) -> bool:
    """Return whether a decoded message has the form of a command; whether there is such a one is seen later."""
    if not isinstance(body, dict) or not isinstance(body.get("method"), str):
        return False
    texts = all(_is(body.get(part), str) for part in ("pattern", "matcher", "ticket"))
    return texts and _is(body.get("arguments"), dict) and _are_names(body.get("destination")) and _is_way_back(body)


def _is_way_back(body: dict[str, Any]) -> bool:
    way = body.get("reply_to")
    return not way or (
        isinstance(way, dict) and all(isinstance(way.get(part), str) for part in ("exchange", "routing_key"))
    )


def _are_names(value: Any) -> bool:
    return _is(value, list) and all(isinstance(name, str) for name in value or ())


def _is(value: Any, kind: type) -> bool:
    return value is None or isinstance(value, kind)
