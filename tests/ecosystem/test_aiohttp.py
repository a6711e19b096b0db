"""aiohttp as a client: its pool of connections, uploads in chunks, and pieces as they come."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from tests.ecosystem.programs import plain
from tests.support.servers import running

pytestmark = pytest.mark.ecosystem

CONNECTIONS = 10
SECONDS = 60


def converse(conversation: Callable[[Any], Awaitable[None]]) -> None:
    """Run a conversation of a session of aiohttp with a server."""
    aiohttp = pytest.importorskip("aiohttp", reason="this environment lacks aiohttp: `make test-ecosystem`")

    async def main(url: str) -> None:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS)
        async with aiohttp.ClientSession(url, connector=connector, raise_for_status=True) as session:
            await asyncio.wait_for(conversation(session), SECONDS)

    with running(plain.application) as server:
        asyncio.run(main(server.url))


async def port_of(session: Any) -> str:
    async with session.get("/environ") as answer:
        return str((await answer.json())["REMOTE_PORT"])


def test_one_connection_serves_every_kind_of_exchange() -> None:
    async def conversation(session: Any) -> None:
        first = await port_of(session)
        for method, path, body in (
            ("GET", "/", None),
            ("HEAD", "/pieces", None),
            ("GET", "/pieces", None),
            ("GET", "/nothing", None),
            ("GET", "/release", None),
            ("GET", "/not-modified", None),
            ("POST", "/echo", b"fixed"),
        ):
            async with session.request(method, path, data=body) as answer:
                await answer.read()
        assert await port_of(session) == first

    converse(conversation)


def test_many_requests_share_the_connections_of_a_pool() -> None:
    async def conversation(session: Any) -> None:
        ports = await asyncio.gather(*(port_of(session) for _ in range(200)))
        assert len(set(ports)) <= CONNECTIONS

    converse(conversation)


@pytest.mark.parametrize("expects", [False, True])
def test_an_upload_in_chunks_arrives_whole(expects: bool) -> None:
    piece = bytes(range(256)) * 256

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield piece

    async def conversation(session: Any) -> None:
        async with session.put("/digest", data=pieces(), expect100=expects) as answer:
            told = await answer.json()
        assert (told["size"], told["sha256"]) == (100 * len(piece), hashlib.sha256(piece * 100).hexdigest())

    converse(conversation)


def test_a_piece_arrives_before_the_next_one_is_made() -> None:
    async def conversation(session: Any) -> None:
        async with session.get("/stream") as answer:
            assert await answer.content.readline() == b"first\n"
            async with session.get("/release") as released:
                assert released.status == 204
            assert await answer.content.read() == b"second\n"

    converse(conversation)
