"""A proxy before Redis that may hold, drop, delay or slow what passes; workers are pointed at it one by one."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

CHUNK_BYTES = 16_384
START_S = 5.0
HOLD_LOOK_S = 0.01
LAST_CALLS_S = 0.05
"""For the loop to close the sockets of connections that were broken off."""


@dataclass(slots=True)
class Rules:
    """What a proxy does to what passes; each may be changed at any time, from any thread.

    Args:
        requests_flow: False: what clients send goes nowhere.
        replies_flow: False: what the server sends goes nowhere.
        delay_s: How long each piece is held up, either way.
        bytes_a_s: How many bytes pass a second, either way; 0: all at once.
        swallow: Asked of every request: True closes its connection when the server has done it, its reply is lost.
        hold_after: Asked of every reply: True passes it on, and holds whatever any client says next.
    """

    requests_flow: bool = True
    replies_flow: bool = True
    delay_s: float = 0.0
    bytes_a_s: int = 0
    swallow: Callable[[bytes], bool] = field(default=lambda request: False)
    hold_after: Callable[[bytes], bool] = field(default=lambda reply: False)


class FaultProxy:
    """A proxy on a loopback port, on an event loop of its own thread.

    Args:
        target: Port of the server.

    Attributes:
        is_holding: Whether nothing that clients say passes now.
        held: Set once something waits.
        swallowed: Replies that were lost so far.
    """

    def __init__(self, target: int) -> None:
        self.rules = Rules()
        self.held = threading.Event()
        self.is_holding = False
        self.swallowed = 0
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> "FaultProxy":
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(START_S)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(START_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(LAST_CALLS_S)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        writers, ways = [to_client], []
        try:
            server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
            writers.append(to_server)
            link = _Link(self, client, to_client, server, to_server)
            ways = [asyncio.ensure_future(link.requests()), asyncio.ensure_future(link.replies())]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        except (OSError, asyncio.CancelledError):
            pass  # The server is away, or the proxy is being closed: the client sees a connection that ends.
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for writer in writers:
                writer.transport.abort()
            self._tasks.discard(task)


class _Link:
    """One connection through the proxy."""

    def __init__(
        self,
        proxy: FaultProxy,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._client, self._to_client = client, to_client
        self._server, self._to_server = server, to_server
        self._swallows = False

    async def requests(self) -> None:
        while data := await _read(self._client):
            while self._proxy.is_holding:
                self._proxy.held.set()
                await asyncio.sleep(HOLD_LOOK_S)
                if self._client.at_eof():
                    return  # Who said it is dead, and what was held was never said.
            rules = self._proxy.rules
            await self._slow_down(rules, len(data))
            if not rules.requests_flow:
                continue
            self._swallows = rules.swallow(data)
            if not await _write(self._to_server, data):
                return

    async def replies(self) -> None:
        while data := await _read(self._server):
            rules = self._proxy.rules
            if self._swallows:
                self._proxy.swallowed += 1
                return
            await self._slow_down(rules, len(data))
            self._proxy.is_holding = self._proxy.is_holding or rules.hold_after(data)
            if rules.replies_flow and not await _write(self._to_client, data):
                return

    @staticmethod
    async def _slow_down(rules: Rules, size: int) -> None:
        pause_s = rules.delay_s + (size / rules.bytes_a_s if rules.bytes_a_s else 0.0)
        if pause_s:
            await asyncio.sleep(pause_s)


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(CHUNK_BYTES)
    except OSError:
        return b""


async def _write(writer: asyncio.StreamWriter, data: bytes) -> bool:
    try:
        writer.write(data)
        await writer.drain()
    except OSError:
        return False
    return True
