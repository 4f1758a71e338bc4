"""The installed version."""

from functools import cache
from importlib import metadata


@cache
def version() -> str:
    """Of the distribution `meshwright`."""
    return metadata.version("meshwright")
