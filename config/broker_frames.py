"""What a message on Redis must look like before kombu may have it: kombu trusts it, and a broken one ends a process."""

import binascii
from base64 import b64decode
from typing import Any, Final

MOST_BRACKETS: Final = 200
"""Opening brackets that a frame may have; its body is base64, so ours have about ten. What is nested deeper than the
interpreter can go could be read on one stack and break on another."""

LONGEST_TAG: Final = 255
"""Characters of a delivery tag, which becomes a key of the broker's; kombu's are 36 long."""

BODY_ENCODINGS: Final = (None, "utf-8", "base64")


class BrokenFrame(ValueError):
    """A frame that kombu could not take; the text is why."""


def check_text(raw: bytes) -> str:
    """Return the text of a frame that can be decoded without harm.

    Raises:
        BrokenFrame: It cannot.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise BrokenFrame("it is not UTF-8") from None
    if text.count("[") + text.count("{") > MOST_BRACKETS:
        raise BrokenFrame("it is nested too deep")
    return text


def check_frame(frame: Any) -> dict[str, Any]:
    """Return a decoded frame that has the form of a message.

    Raises:
        BrokenFrame: It has not.
    """
    if not isinstance(frame, dict):
        raise BrokenFrame("it is no JSON object")
    _check_properties(frame.get("properties"))
    headers = frame.get("headers")
    if not isinstance(headers, dict):
        raise BrokenFrame("it has no headers")
    if headers.get("compression"):
        raise BrokenFrame("it is compressed")  # ours never are, and a small one could fill the memory
    if not _are_texts(frame.get("content-type"), frame.get("content-encoding")):
        raise BrokenFrame("its content type or encoding is no text")
    _check_body(frame.get("body"), frame["properties"].get("body_encoding"))
    return frame


def _check_properties(properties: Any) -> None:
    if not isinstance(properties, dict):
        raise BrokenFrame("it has no properties")
    tag = properties.get("delivery_tag")
    if not isinstance(tag, str) or not 0 < len(tag) <= LONGEST_TAG or not (tag.isascii() and tag.isprintable()):
        raise BrokenFrame("it has no delivery tag")
    delivery = properties.get("delivery_info")
    if not isinstance(delivery, dict) or not {"exchange", "routing_key"} <= delivery.keys():
        raise BrokenFrame("it does not say where it was sent")
    if not _are_texts(delivery["exchange"], delivery["routing_key"]):
        raise BrokenFrame("it does not say where it was sent")


def _check_body(body: Any, encoding: Any) -> None:
    if not isinstance(body, str):
        raise BrokenFrame("it has no body")
    if not _are_texts(encoding) or encoding not in BODY_ENCODINGS:
        raise BrokenFrame("its body is encoded in a way that is not known here")
    if encoding != "base64":
        return
    try:
        b64decode(body)
    except (binascii.Error, ValueError):
        raise BrokenFrame("its body is no base64") from None


def _are_texts(*values: Any) -> bool:
    return all(value is None or isinstance(value, str) for value in values)
