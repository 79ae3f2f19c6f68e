"""Kombu's Redis client, made so that what was accepted can end in a Redis that is full."""

from collections.abc import Sequence
from typing import Any, Final

from kombu.transport.redis import PrefixedRedisPipeline, PrefixedStrictRedis
from redis import Redis
from redis.exceptions import OutOfMemoryError, ResponseError
from redis.exceptions import TimeoutError as NotInTime

__all__ = ["BrokerClient", "NotInTime"]

IN_SPITE_OF_LIMIT: Final = "#!lua flags=allow-oom\n"
"""Begins a script that may write although the server is at its limit, which Redis knows from version 7 on."""

COMMANDS: Final = """
local at, replies = 1, {}
while at <= #ARGV do
  local size = tonumber(ARGV[at])
  replies[#replies + 1] = redis.call(unpack(ARGV, at + 1, at + size))
  at = at + size + 1
end
return replies
"""
"""Runs the commands in its arguments, each behind the number of its parts."""


_texts: Final[dict[str, str]] = {}
"""Scripts of kombu's by their digests."""


def _again(pool: Any, refusal: OutOfMemoryError, commands: Sequence[Sequence[Any]]) -> Any:
    """Run commands that a full Redis has refused, and return their replies.

    All that comes this way belongs to runs that were accepted, and is given back when they end.

    Raises:
        OutOfMemoryError: The refusal, where the server is too old to make an exception.
    """
    client = Redis(connection_pool=pool)
    try:
        if any(name == "EVALSHA" for name, *_ in commands):  # a script cannot call another one
            return [_one_again(client, *command) for command in commands]
        flat = [part for command in commands for part in (len(command), *command)]
        return client.eval(IN_SPITE_OF_LIMIT + COMMANDS, 0, *flat)
    except ResponseError:
        raise refusal from None


def _one_again(client: Any, name: str, *arguments: Any) -> Any:
    if name == "EVALSHA":
        return client.eval(IN_SPITE_OF_LIMIT + _texts[arguments[0]], *arguments[1:])
    return client.eval(IN_SPITE_OF_LIMIT + COMMANDS, 0, 1 + len(arguments), name, *arguments)[0]


class _Pipeline(PrefixedRedisPipeline):  # type: ignore[misc]  # kombu is not typed
    def execute(self, raise_on_error: bool = True) -> Any:
        commands = [command for command, _ in self.command_stack]
        try:
            return super().execute(raise_on_error)
        except OutOfMemoryError as error:
            return _again(self.connection_pool, error, commands)


class BrokerClient(PrefixedStrictRedis):  # type: ignore[misc]
    """A client whose writes are carried out in a full Redis too, if it can be asked to."""

    def register_script(self, script: Any) -> Any:
        """Return a script to call."""
        registered = super().register_script(script)
        _texts[registered.sha] = script
        return registered

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command; one that is refused for want of memory, once more in spite of that."""
        try:
            return super().execute_command(*args, **options)
        except OutOfMemoryError as error:
            return _again(self.connection_pool, error, [self._prefix_args(args)])[0]

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        """Return a pipeline that does the same."""
        return _Pipeline(
            self.connection_pool,
            self.response_callbacks,
            transaction,
            shard_hint,
            global_keyprefix=self.global_keyprefix,
        )
