"""The few lines of protobuf's wire format that a writer of Chakra traces needs."""

from functools import lru_cache


def varint(value: int) -> bytes:
    """A non-negative integer, seven bits a byte, lowest first."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def integer(field: int, value: int) -> bytes:
    """A varint field; a bool is 0 or 1."""
    return varint(field << 3) + varint(value)


def chunk(field: int, content: bytes) -> bytes:
    """A length-delimited field: a message or a string."""
    return varint(field << 3 | 2) + varint(len(content)) + content


@lru_cache(maxsize=4096)
def string(field: int, value: str) -> bytes:
    """A string field."""
    return chunk(field, value.encode())


def packed(field: int, values: list[int]) -> bytes:
    """A repeated integer field, packed as proto3 does; nothing when empty."""
    return chunk(field, b"".join(map(varint, values))) if values else b""


def delimited(message: bytes) -> bytes:
    """A message of a stream, behind its length."""
    return varint(len(message)) + message
