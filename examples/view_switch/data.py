"""The chat database of the view switch: SQLite, a fence a session, a unique effect key a written row."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

MESSAGES: Final = 5_000
"""How many messages the demo's session has."""

BUSY_TIMEOUT_S: Final = 5.0
"""How long a connection waits for another one's transaction."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY,
    fence INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS chats (
    id INTEGER PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions (id),
    title TEXT NOT NULL,
    effect_key TEXT NOT NULL UNIQUE
);
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY,
    session_id TEXT NOT NULL REFERENCES sessions (id),
    chat_id INTEGER NOT NULL REFERENCES chats (id),
    author TEXT NOT NULL,
    body TEXT NOT NULL,
    effect_key TEXT UNIQUE
);
CREATE INDEX IF NOT EXISTS messages_of_session ON messages (session_id, id);
"""


class StaleFence(Exception):
    """A newer attempt has written to this session: this one lost its right to."""


class NoChat(Exception):
    """The session has no chat to write to."""


def create(path: Path, session_id: str, messages: int = MESSAGES) -> None:
    """Make the database with one session, one chat and that many messages in it."""
    with connected(path) as database:
        database.execute("PRAGMA journal_mode=WAL")  # Readers and the writer do not wait for each other.
        database.executescript(_SCHEMA)
        with transaction(database):
            database.execute("INSERT INTO sessions (id) VALUES (?)", (session_id,))
            chat_id = insert_chat(database, session_id, "The first chat", "demo/first-chat")
            rows = ((session_id, chat_id, *_message(number)) for number in range(1, messages + 1))
            database.executemany("INSERT INTO messages (session_id, chat_id, author, body) VALUES (?, ?, ?, ?)", rows)


@contextmanager
def connected(path: Path | str) -> Iterator[sqlite3.Connection]:
    """Open the database for the block; transactions are begun with `transaction`."""
    database = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    database.row_factory = sqlite3.Row
    try:
        yield database
    finally:
        database.close()


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """Write all of the block, or nothing of it."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


@contextmanager
def fenced(database: sqlite3.Connection, session_id: str, fence: int) -> Iterator[None]:
    """Write to a session under a fence: in one transaction, and only when no newer fence has been there.

    Raises:
        StaleFence: A newer attempt has written.
        NoChat: There is no such session.
    """
    with transaction(database):
        row = database.execute("SELECT fence FROM sessions WHERE id = ?", (session_id,)).fetchone()
        if row is None:
            raise NoChat(f"there is no session {session_id!r}")
        if fence < row["fence"]:
            raise StaleFence(f"fence {fence} is older than {row['fence']}, which has written to session {session_id!r}")
        database.execute("UPDATE sessions SET fence = ? WHERE id = ?", (fence, session_id))
        yield


def insert_chat(database: sqlite3.Connection, session_id: str, title: str, effect_key: str) -> int:
    """Insert a chat once per effect key; return its id, the same for every attempt."""
    database.execute(
        "INSERT INTO chats (session_id, title, effect_key) VALUES (?, ?, ?) ON CONFLICT (effect_key) DO NOTHING",
        (session_id, title, effect_key),
    )
    row = database.execute("SELECT id FROM chats WHERE effect_key = ?", (effect_key,)).fetchone()
    return int(row["id"])


def insert_message(database: sqlite3.Connection, session_id: str, body: str, effect_key: str) -> int:
    """Insert a message into the newest chat of a session, once per effect key; return its id.

    Raises:
        NoChat: The session has none.
    """
    chat = database.execute("SELECT max(id) AS id FROM chats WHERE session_id = ?", (session_id,)).fetchone()
    if chat["id"] is None:
        raise NoChat(f"session {session_id!r} has no chat to write to")
    database.execute(
        "INSERT INTO messages (session_id, chat_id, author, body, effect_key) VALUES (?, ?, 'ide', ?, ?) "
        "ON CONFLICT (effect_key) DO NOTHING",
        (session_id, chat["id"], body, effect_key),
    )
    row = database.execute("SELECT id FROM messages WHERE effect_key = ?", (effect_key,)).fetchone()
    return int(row["id"])


def read_history(database: sqlite3.Connection, session_id: str) -> Iterator[sqlite3.Row]:
    """Yield all messages of a session, oldest first."""
    sql = "SELECT id, chat_id, author, body FROM messages WHERE session_id = ? ORDER BY id"
    yield from database.execute(sql, (session_id,))


def _message(number: int) -> tuple[str, str]:
    author = "user" if number % 2 else "assistant"
    return author, f"Message {number}: " + "what the view shows of a conversation, line by line. " * (1 + number % 3)
