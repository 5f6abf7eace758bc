"""Defines a type like Sedona's for geometries, but for the class in the JVM, which is not here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pyspark.sql.types import BinaryType, UserDefinedType


class GeometryOfPython(UserDefinedType):
    """The type; Sedona's is made in the same way (`sedona.spark.sql.types.GeometryType`)."""

    @classmethod
    def sqlType(cls) -> BinaryType:  # noqa: N802 - of Spark
        """Bytes."""
        return BinaryType()

    @classmethod
    def module(cls) -> str:
        """Where it is found."""
        return "tests.hosts.spark.sedona_type"

    def serialize(self, obj: Any) -> bytes | None:
        """The bytes of a value."""
        return None if obj is None else obj.value

    def deserialize(self, datum: Any) -> Any:
        """The value of bytes."""
        return Square(bytes(datum))


@dataclass(frozen=True)
class Square:
    """A value of the type."""

    value: bytes
    __UDT__ = GeometryOfPython()
