"""Reading one field of a `config.json` under the several names that model families give it."""

from collections.abc import Mapping
from typing import Any

from strategy.errors import InputError

MAX_FIELD = 100_000_000
_NESTED = ("text_config", "language_config", "llm_config", "thinker_config", "text_model_config")
_FLATTENED = ("attn_config", "ffn_config", "moe")


class Fields:
    """The text part of a `config.json`, read by any accepted spelling; errors carry a JSON pointer into the whole file."""

    def __init__(self, values: Mapping[str, Any], outer: Mapping[str, Any] | None = None, pointer: str = "") -> None:
        self.values = values
        self.outer = outer if outer is not None else values
        self.pointer = pointer

    @classmethod
    def of_text(cls, config: Mapping[str, Any]) -> "Fields":
        """The language model inside `config`: multimodal files nest it, and some families nest its parts."""
        values, pointer = config, ""
        while key := next((name for name in _NESTED if isinstance(values.get(name), Mapping)), None):
            values, pointer = values[key], f"{pointer}/{key}"
        for key in _FLATTENED:
            part = values.get(key)
            if isinstance(part, Mapping):
                values = {**part, **values}
        return cls(values, config, pointer)

    @property
    def model_type(self) -> str:
        """`model_type` of the text part, or of the whole file; empty when neither says."""
        value = self.values.get("model_type") or self.outer.get("model_type") or ""
        return value if isinstance(value, str) else ""

    def get(self, *spellings: str) -> Any:
        """The first spelling that has a value other than null, or None."""
        return next((self.values[name] for name in spellings if self.values.get(name) is not None), None)

    def shared(self, name: str) -> Any:
        """A field that may stand in the text part or beside it."""
        value = self.values.get(name)
        return self.outer.get(name) if value is None else value

    def integer(self, *spellings: str, minimum: int = 1) -> int | None:
        """A whole number under any of `spellings`, or None when absent; a list of equal numbers counts as one.

        Raises `InputError` for anything else, naming the field.
        """
        name = next((s for s in spellings if self.values.get(s) is not None), None)
        if name is None:
            return None
        value = self.values[name]
        if isinstance(value, list) and value and all(item == value[0] for item in value):
            value = value[0]
        if isinstance(value, list):
            raise self.error(name, f"varies by layer ({shorten(value)}): every layer must have the same value")
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= MAX_FIELD:
            raise self.error(name, f"must be a whole number from {minimum} to {MAX_FIELD}, not {shorten(value)}")
        return value

    def required(self, *spellings: str) -> int:
        """A whole number of at least one; raises `InputError` with every accepted spelling when absent."""
        value = self.integer(*spellings)
        if value is None:
            names = ", ".join(f"`{s}`" for s in spellings)
            state = "is null" if spellings[0] in self.values else "is missing"
            raise self.error(spellings[0], state, hint=f"accepted spellings: {names}")
        return value

    def error(self, name: str, problem: str, *, hint: str = "") -> InputError:
        """An `InputError` about one field."""
        return InputError(f"config.json: `{name}` {problem}", pointer=f"{self.pointer}/{name}", hint=hint)


def shorten(value: object) -> str:
    """A value as a message may show it."""
    try:
        text = repr(value)
    except RecursionError:
        text = "a deeply nested value"
    return text if len(text) <= 60 else text[:57] + "..."
