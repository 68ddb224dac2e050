"""Output becomes chunks: whole, in order, cut to size, bounded."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from whimbrel_sdk.output import OutputBuffer
from whimbrel_sdk.run import OutputOptions

WRITES = st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(max_size=50)))


def emitted(
    writes: list[tuple[str, bytes]], options: OutputOptions
) -> tuple[list[tuple[str, bytes, int]], bool]:
    """Return the chunks that these writes become, and whether some bytes were dropped."""
    chunks: list[tuple[str, bytes, int]] = []

    async def main() -> bool:
        buffer = OutputBuffer(options, lambda *chunk: chunks.append(chunk))
        for channel, data in writes:
            buffer.write(channel, data)
        buffer.flush()
        return buffer.truncated

    return chunks, asyncio.run(main())


@given(WRITES, st.integers(1, 20))
def test_nothing_is_lost_or_mixed(writes: list[tuple[str, bytes]], size: int) -> None:
    """Each channel's chunks add up to what was written, with offsets, none over the size."""
    chunks, truncated = emitted(writes, OutputOptions(max_chunk_bytes=size))

    assert not truncated
    for channel in ("stdout", "stderr"):
        written = b"".join(data for name, data in writes if name == channel)
        offset = 0
        for name, data, at in chunks:
            if name == channel:
                assert (offset, written[offset : offset + len(data)]) == (at, data)
                assert 0 < len(data) <= size
                offset += len(data)
        assert len(written) == offset


@given(WRITES, st.integers(0, 100))
def test_the_limit_holds_to_the_byte(writes: list[tuple[str, bytes]], limit: int) -> None:
    """What is over the limit is dropped and said."""
    chunks, truncated = emitted(writes, OutputOptions(max_total_bytes=limit))
    total = sum(len(data) for _, data in writes)

    assert min(total, limit) == sum(len(data) for _, data, _ in chunks)
    assert (total > limit) is truncated


def test_small_writes_become_one_chunk_and_the_first_leaves_at_once() -> None:
    """The first output after a quiet time goes out in the same turn; what follows is gathered."""
    chunks: list[bytes] = []

    async def main() -> None:
        options = OutputOptions(flush_interval_seconds=0.05)
        buffer = OutputBuffer(options, lambda _, data, __: chunks.append(data))
        buffer.write("stdout", b"a")
        buffer.write("stdout", b"b")
        await asyncio.sleep(0)
        assert [b"ab"] == chunks
        for _ in range(100):
            buffer.write("stdout", b"c")
            await asyncio.sleep(0)
        assert [b"ab"] == chunks
        async with asyncio.timeout(5):
            while len(chunks) < 2:
                await asyncio.sleep(0.01)
        assert [b"ab", b"c" * 100] == chunks

    asyncio.run(main())
