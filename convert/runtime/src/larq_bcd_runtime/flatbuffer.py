"""Reads flatbuffers that nobody vouches for: every offset is checked before it is followed."""

import struct
from collections.abc import Iterator


class Damaged(ValueError):
    """The buffer is not a flatbuffer of the expected schema; the message says what is wrong."""


# A flatbuffer may share tables, so the walk through a small file can be long.
_MAX_ELEMENTS = 1 << 22


class Table:
    """A table of a flatbuffer, whose fields are known by their number in the schema.

    Args:
        data: the whole buffer.
        at: where the table begins.

    Raises:
        Damaged: something lies outside the buffer.
    """

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at
        self._fields: dict[int, int] = {}
        table = at - self._read("<i", at)
        size = self._read("<H", table)
        if size < 4 or size % 2 or table + size > len(data):
            raise Damaged(f"the table at byte {at} is damaged")
        self._vtable, self._count = table, (size - 4) // 2
        self._size = self._read("<H", table + 2)
        if at + self._size > len(data):
            raise Damaged(f"the table at byte {at} is longer than the file")

    @classmethod
    def root(cls, data: bytes, identifier: bytes) -> "Table":
        """Returns the root table of a file that begins with this identifier."""
        if len(data) < 8 or data[4:8] != identifier:
            raise Damaged(f"it does not begin as a file of type {identifier.decode()} does")
        return cls(data, struct.unpack_from("<I", data)[0])

    def _read(self, code: str, at: int) -> int:
        if at < 0 or at + struct.calcsize(code) > len(self._data):
            raise Damaged(f"an offset leads to byte {at} of {len(self._data)}")
        return struct.unpack_from(code, self._data, at)[0]

    def _field(self, number: int, size: int) -> int:
        """Returns where a field lies, 0 if it has its default value."""
        if number >= self._count:
            return 0
        offset = self._read("<H", self._vtable + 4 + 2 * number)
        if offset == 0:
            return 0
        if offset + size > self._size:
            raise Damaged(f"a field of the table at byte {self._at} lies outside of it")
        return self._at + offset

    def number(self, number: int, code: str = "<i", default: int = 0) -> int:
        """Returns a scalar; `code` is struct's."""
        at = self._field(number, struct.calcsize(code))
        return self._read(code, at) if at else default

    def _target(self, number: int) -> int:
        at = self._field(number, 4)
        return at + self._read("<I", at) if at else 0

    def table(self, number: int) -> "Table | None":
        """Returns a table, None if it is absent."""
        at = self._target(number)
        return Table(self._data, at) if at else None

    def vector(self, number: int, size: int) -> tuple[int, int]:
        """Returns where a vector of elements of so many bytes begins, and how many it has."""
        at = self._target(number)
        if at == 0:
            return 0, 0
        count = self._read("<I", at)
        if at + 4 + count * size > len(self._data):
            raise Damaged(f"a vector of {count} elements at byte {at} is longer than the file")
        return at + 4, count

    def has(self, number: int) -> bool:
        """Returns whether a field is there."""
        return self._field(number, 1) != 0

    def tables(self, number: int) -> Iterator["Table"]:
        """Returns the tables of a vector."""
        at, count = self.vector(number, 4)
        if count > _MAX_ELEMENTS:
            raise Damaged(f"a vector has {count} tables")
        for i in range(count):
            place = at + 4 * i
            yield Table(self._data, place + self._read("<I", place))

    def numbers(self, number: int, code: str = "i") -> tuple:
        """Returns a vector of scalars; `code` is struct's, without the byte order."""
        at, count = self.vector(number, struct.calcsize("<" + code))
        return struct.unpack_from(f"<{count}{code}", self._data, at) if count else ()

    def bytes(self, number: int) -> memoryview:
        """Returns a vector of bytes."""
        at, count = self.vector(number, 1)
        return memoryview(self._data)[at : at + count]

    def text(self, number: int) -> str:
        """Returns a string."""
        return bytes(self.bytes(number)).decode("utf-8", "replace")
