"""Messages as nobody should send them: one of each kind, and any number at random from a seed."""

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

RUN_ID = "0000000000000123456789abcdef"
"""Of a run that is long gone: a sound message for it is dropped in silence."""

TOO_DEEP = 100_000


@dataclass(frozen=True)
class Broken:
    """A message that is set aside.

    Args:
        kind: What is wrong with it.
        raw: What is pushed.
        reason: What the dead letter says.
    """

    kind: str
    raw: bytes
    reason: str

    def __str__(self) -> str:
        return self.kind


def sound(queue: str = "parallel", run_id: Any = RUN_ID, number: Any = 0, **changes: Any) -> dict[str, Any]:
    """Return a frame as kombu makes it.

    Args:
        queue: Its routing key.
        run_id: The run's.
        number: The parcel's.
        changes: Parts to put in place of its own; ``payload`` is the decoded body.
    """
    payload = changes.pop("payload", [[run_id, number], {}, {"callbacks": None, "errbacks": None, "chain": None}])
    frame = {
        "body": b64encode(json.dumps(payload).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"lang": "py", "task": "stepline.parcel", "id": "an id", "retries": 0, "timelimit": [None, None]},
        "properties": {
            "correlation_id": "an id",
            "delivery_mode": 2,
            "delivery_info": {"exchange": queue, "routing_key": queue},
            "priority": 1,
            "body_encoding": "base64",
            "delivery_tag": "a tag",
        },
    }
    return {**frame, **changes}


def frame_bytes(**changes: Any) -> bytes:
    return json.dumps(sound(**changes)).encode()


def with_headers(**headers: Any) -> bytes:
    frame = sound()
    return json.dumps({**frame, "headers": {**frame["headers"], **headers}}).encode()


def with_properties(**properties: Any) -> bytes:
    frame = sound()
    return json.dumps({**frame, "properties": {**frame["properties"], **properties}}).encode()


def with_plain_body(body: str) -> bytes:
    frame = sound(body=body)
    return json.dumps({**frame, "properties": {**frame["properties"], "body_encoding": "utf-8"}}).encode()


def without(part: str) -> bytes:
    frame = sound()
    del frame[part]
    return json.dumps(frame).encode()


NOT_JSON = "it is no JSON, or it was cut short"
NO_OBJECT = "it is no JSON object"
UNKNOWN_TYPE = "it holds a value of a type that is not known here"
NO_WAY = "it does not say where it was sent"
UNREADABLE = "its body cannot be read"
NOT_A_PARCEL = "its arguments are not a run's id and the number of a parcel"
UNKNOWN_TASK = "its task is not known here, a newer version may have sent it"

FRAMES = (
    Broken("nothing", b"", NOT_JSON),
    Broken("no JSON", b"hello \x1b[31mworld", NOT_JSON),
    Broken("no UTF-8", b"\xff\xfe\x00{}", "it is not UTF-8"),
    Broken("cut short", frame_bytes()[:-40], NOT_JSON),
    Broken("nested lists", b"[" * TOO_DEEP, "it is nested too deep"),
    Broken("nested objects", b'{"a":' * TOO_DEEP + b"1" + b"}" * TOO_DEEP, "it is nested too deep"),
    Broken("nested headers", with_headers(x=json.loads("[" * 400 + "]" * 400)), "it is nested too deep"),
    Broken("a list", b"[1, 2]", NO_OBJECT),
    Broken("a number", b"7", NO_OBJECT),
    Broken("null", b"null", NO_OBJECT),
    Broken("a long number", b"9" * 5000, UNKNOWN_TYPE),
    Broken("an unknown type", with_headers(x={"__type__": "nope", "__value__": 1}), UNKNOWN_TYPE),
    Broken("a type of a type", with_headers(x={"__type__": [], "__value__": 1}), UNKNOWN_TYPE),
    Broken("a broken value of a type", with_headers(x={"__type__": "decimal", "__value__": "x"}), UNKNOWN_TYPE),
    Broken("no properties", without("properties"), "it has no properties"),
    Broken("properties that are a list", frame_bytes(properties=[]), "it has no properties"),
    Broken("no delivery tag", with_properties(delivery_tag=None), "it has no delivery tag"),
    Broken("a list for a delivery tag", with_properties(delivery_tag=[1]), "it has no delivery tag"),
    Broken("half a character for a tag", with_properties(delivery_tag="\ud800"), "it has no delivery tag"),
    Broken("no delivery info", with_properties(delivery_info=None), NO_WAY),
    Broken("an empty delivery info", with_properties(delivery_info={}), NO_WAY),
    Broken("a number for an exchange", with_properties(delivery_info={"exchange": 1, "routing_key": "r"}), NO_WAY),
    Broken("no headers", without("headers"), "it has no headers"),
    Broken("headers that are a list", frame_bytes(headers=[["task", "stepline.parcel"]]), "it has no headers"),
    Broken("compressed", with_headers(compression="application/x-gzip"), "it is compressed"),
    Broken(
        "a number for a content type", frame_bytes(**{"content-type": 5}), "its content type or encoding is no text"
    ),
    Broken("no body", without("body"), "it has no body"),
    Broken("a number for a body", frame_bytes(body=5), "it has no body"),
    Broken("no base64", frame_bytes(body="W1s"), "its body is no base64"),
    Broken(
        "another encoding",
        with_properties(body_encoding="rot13"),
        "its body is encoded in a way that is not known here",
    ),
)
"""Too broken for kombu: caught in the channel."""

MESSAGES = (
    Broken("no task", frame_bytes(headers={}), f"{UNKNOWN_TASK}: there is none"),
    Broken("an unknown task", with_headers(task="shop.pay\x1b[2J"), f"{UNKNOWN_TASK}: 'shop.pay\\x1b[2J'"),
    Broken("a task of a newer version", with_headers(task="stepline.parcels"), f"{UNKNOWN_TASK}: 'stepline.parcels'"),
    Broken("a task of Celery's own", with_headers(task="celery.backend_cleanup"), "celery.backend_cleanup"),
    Broken("a list for a task", with_headers(task=["stepline.parcel"]), f"{UNKNOWN_TASK}: it is a list"),
    Broken(
        "the old form of Celery's messages", frame_bytes(headers={}, payload={"task": "stepline.parcel"}), UNKNOWN_TASK
    ),
    Broken("pickle", frame_bytes(**{"content-type": "application/x-python-serialize"}), "its content is no JSON"),
    Broken("no content type", frame_bytes(**{"content-type": None}), "its content is no JSON: there is none"),
    Broken("a body that is no JSON", frame_bytes(body=b64encode(b"{").decode()), UNREADABLE),
    Broken("a body that is no UTF-8", frame_bytes(body=b64encode(b"\xff").decode()), UNREADABLE),
    Broken("a body nested too deep", frame_bytes(body=b64encode(b"[" * TOO_DEEP).decode()), UNREADABLE),
    Broken("an unknown type in the body", frame_bytes(run_id={"__type__": "nope", "__value__": 1}), UNREADABLE),
    Broken("half a character in the body", with_plain_body("\ud800"), UNREADABLE),
    Broken("an empty body", frame_bytes(body=""), NOT_A_PARCEL),
    Broken("too few arguments", frame_bytes(payload=[[RUN_ID], {}, {}]), NOT_A_PARCEL),
    Broken("too many arguments", frame_bytes(payload=[[RUN_ID, 0, 1], {}, {}]), NOT_A_PARCEL),
    Broken("named arguments", frame_bytes(payload=[[], {"run_id": RUN_ID, "number": 0}, {}]), NOT_A_PARCEL),
    Broken("a body of one part", frame_bytes(payload=[[RUN_ID, 0]]), NOT_A_PARCEL),
    Broken("a body that is an object", frame_bytes(payload={"run_id": RUN_ID}), NOT_A_PARCEL),
    Broken("a number for a run", frame_bytes(run_id=5), NOT_A_PARCEL),
    Broken("half a character for a run", frame_bytes(run_id="\ud800"), NOT_A_PARCEL),
    Broken("a text for a parcel", frame_bytes(number="0"), NOT_A_PARCEL),
    Broken("true for a parcel", frame_bytes(number=True), NOT_A_PARCEL),
    Broken("a parcel below 0", frame_bytes(number=-1), NOT_A_PARCEL),
    Broken("a parcel beyond all", frame_bytes(number=10**30), NOT_A_PARCEL),
    Broken("half a parcel", frame_bytes(number=0.5), NOT_A_PARCEL),
)
"""What kombu takes and no worker understands."""

HARMLESS = (
    with_headers(id=None),
    with_headers(id=["x"]),
    with_headers(timelimit=5),
    with_headers(timelimit=[0.001, 0.001]),
    with_headers(eta="never"),
    with_headers(eta="2999-01-01T00:00:00+00:00"),
    with_headers(expires={"a": 1}),
    with_headers(retries="many", shadow=5, group=[1], stamps=3, stamped_headers=7, origin=None),
    with_headers(newer_field={"a": [1, 2]}),
    with_properties(priority="high", reply_to=5, correlation_id=[]),
    frame_bytes(payload=[[RUN_ID, 0], {}, "no embed"]),
    frame_bytes(payload=[[RUN_ID, 0], {}, {"callbacks": [{"task": "x"}], "chain": 5, "chord": [1]}]),
    frame_bytes(**{"content-encoding": "klingon"}),
)
"""Understood all the same: what is about the parcel is whole."""

PROBE = frame_bytes(payload=[["probe.1763739000000000", 0], {}, {}])
"""Understood and done with at once: it is about no run."""

COMMANDS = (
    b"hello",
    b"\xff",
    b"[" * TOO_DEEP,
    b"[]",
    b"{}",
    with_headers(x={"__type__": "nope", "__value__": 1}),
    without("properties"),
    frame_bytes(payload=[1]),
    frame_bytes(payload=7),
    frame_bytes(payload={}),
    frame_bytes(payload={"method": ["ping"]}),
    frame_bytes(payload={"method": "ping", "arguments": [1]}),
    frame_bytes(payload={"method": "ping", "destination": 5}),
    frame_bytes(payload={"method": "ping", "reply_to": "me"}),
    frame_bytes(payload={"method": "ping"}, headers={"clock": "late"}),
    frame_bytes(body=b64encode(b"{").decode()),
)
"""What no mailbox of a remote control takes."""


def fuzzed(seed: int, count: int) -> Iterator[bytes]:
    """Yield frames that are broken at random, the same ones for a seed; a few of them are still sound."""
    random = Random(seed)
    for _ in range(count):
        yield random.choice(_WAYS)(random)


def _bytes_changed(random: Random) -> bytes:
    raw = bytearray(frame_bytes(number=random.randrange(100)))
    for _ in range(random.randint(1, 8)):
        raw[random.randrange(len(raw))] = random.randrange(256)
    return bytes(raw)


def _cut(random: Random) -> bytes:
    raw = frame_bytes()
    return raw[random.randrange(len(raw)) :] if random.random() < 0.5 else raw[: random.randrange(len(raw))]


def _part_replaced(random: Random) -> bytes:
    frame = sound()
    place: Any = random.choice([frame, frame["headers"], frame["properties"], frame["properties"]["delivery_info"]])
    part = random.choice([*place, "compression", "eta", "expires", "x"])
    place[part] = _anything(random, 4)
    return json.dumps(frame).encode()


def _payload_replaced(random: Random) -> bytes:
    return frame_bytes(payload=_anything(random, 6))


def _noise(random: Random) -> bytes:
    return random.randbytes(random.randrange(300))


def _anything(random: Random, depth: int) -> Any:
    return random.choice(_VALUES if depth else _VALUES[:-3])(random, depth - 1)


def _text(random: Random, _: int) -> str:
    return "".join(map(chr, random.choices(range(0x110), k=random.randrange(20))))


def _marked(random: Random, depth: int) -> dict[str, Any]:
    kind = random.choice(["decimal", "uuid", "bytes", "base64", "date", _text(random, 0)])
    return {"__type__": kind, "__value__": _anything(random, depth)}


def _list(random: Random, depth: int) -> list[Any]:
    return [_anything(random, depth) for _ in range(random.randrange(4))]


def _object(random: Random, depth: int) -> dict[str, Any]:
    return {_text(random, 0): _anything(random, depth) for _ in range(random.randrange(4))}


_VALUES: tuple[Callable[[Random, int], Any], ...] = (
    lambda random, _: random.choice([None, True, False]),
    lambda random, _: random.randint(-(10**20), 10**20),
    lambda random, _: random.choice([0.5, float("inf"), float("nan"), 1e300]),
    lambda random, _: random.choice([RUN_ID, "stepline.parcel", "application/json", "base64", "\ud800"]),
    _text,
    _marked,
    _list,
    _object,
)
_WAYS = (_bytes_changed, _cut, _part_replaced, _part_replaced, _payload_replaced, _noise)
