"""The base of every value in the domain, and the constrained numbers they share."""

from collections.abc import Callable, Mapping
from functools import cache
from operator import itemgetter
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

MAX_DEGREE = 65_536
MAX_TOKENS = 100_000_000


class Frozen(BaseModel):
    """A value: immutable, compared by content, unknown keys refused."""

    __slots__ = ("_known_hash",)

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __hash__(self) -> int:
        """That of the fields, worked out once: models and pools are looked up by value thousands of times in a search."""
        known: int | None = getattr(self, "_known_hash", None)
        if known is None:
            known = hash(_values_of(type(self))(self.__dict__))
            object.__setattr__(self, "_known_hash", known)
        return known

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some fields changed, which works out anew what was derived from them."""
        copied = super().model_copy(update=update, deep=deep)
        fields = type(self).model_fields
        if len(copied.__dict__) > len(fields):
            for name in [name for name in copied.__dict__ if name not in fields]:
                del copied.__dict__[name]
        return copied


@cache
def _values_of(kind: type[Frozen]) -> Callable[[dict[str, Any]], Any]:
    """The values of all fields of such an object, from its dictionary."""
    return itemgetter(*kind.model_fields) if kind.model_fields else tuple


Degree = Annotated[int, Field(strict=True, ge=1, le=MAX_DEGREE)]
"""A parallel width: an integer of at least one."""

Count = Annotated[int, Field(strict=True, ge=0, le=MAX_TOKENS)]
"""A non-negative integer."""

Size = Annotated[int, Field(strict=True, ge=1, le=MAX_TOKENS)]
"""A positive integer, such as a hidden size or a number of tokens."""

Positive = Annotated[float, Field(gt=0, le=1e18)]
"""A positive finite number."""
