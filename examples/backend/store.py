"""Where tasks are: SQLite, written under a fence, so that an attempt that came too late changes nothing."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Final

PATH_VARIABLE: Final = "BACKEND_DATABASE"
"""Names the file; the workers read it, the HTTP process never does."""

BUSY_TIMEOUT_S: Final = 5.0
"""How long one writer waits for another."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS tasks (
    id TEXT PRIMARY KEY,
    project_id TEXT NOT NULL,
    title TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'open',
    fence INTEGER NOT NULL
)
"""


class StaleFence(Exception):
    """There is no such task, or a newer attempt has written to it: this one lost its right to."""


def insert_task(*, project_id: str, task_id: str, title: str, fence: int) -> None:
    """Write a task down, once per id."""
    sql = "INSERT INTO tasks (id, project_id, title, fence) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
    with _transaction() as database:
        database.execute(sql, (task_id, project_id, title, fence))


def finish_task(*, project_id: str, task_id: str, fence: int) -> str:
    """Mark a task as done and return its state.

    Raises:
        StaleFence: It is not there, or a newer attempt has been.
    """
    sql = "UPDATE tasks SET state = 'done', fence = ? WHERE id = ? AND project_id = ? AND fence <= ?"
    with _transaction() as database:
        if database.execute(sql, (fence, task_id, project_id, fence)).rowcount == 0:
            raise StaleFence(f"task {task_id!r} is not in project {project_id!r}, or newer than fence {fence}")
    return "done"


def count_tasks(project_id: str) -> dict[str, int]:
    """Return how many tasks of a project are in each state."""
    sql = "SELECT state, count(*) FROM tasks WHERE project_id = ? GROUP BY state ORDER BY state"
    with _transaction() as database:
        return dict(database.execute(sql, (project_id,)).fetchall())


@contextmanager
def _transaction() -> Iterator[sqlite3.Connection]:
    path = os.environ.get(PATH_VARIABLE, "backend.sqlite")
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as database, database:
        database.execute(_SCHEMA)
        yield database
