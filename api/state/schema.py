"""The tables, as steps that are applied once and in order, by whichever process comes first."""

from api.state.database import Database, Session, open_database
from strategy.errors import InputError

MIGRATIONS = (
    """
    create table runs (
        id text primary key,
        key_id text not null,
        status text not null,
        ask text not null,
        proposer text not null,
        attached integer not null,
        idempotency_key text,
        digest text not null,
        epoch integer not null default 0,
        owner text not null default '',
        lease_until double precision not null default 0,
        cancel integer not null default 0,
        result text,
        problem text,
        created_at double precision not null,
        finished_at double precision
    );
    create unique index runs_idempotency on runs (key_id, idempotency_key);
    create index runs_waiting on runs (status, lease_until);
    create index runs_listed on runs (created_at, id);
    create table events (
        run_id text not null references runs (id) on delete cascade,
        seq integer not null,
        name text not null,
        type text not null,
        data text not null,
        primary key (run_id, seq),
        unique (run_id, name)
    );
    create table api_keys (
        id text primary key,
        name text not null,
        digest text not null,
        scopes text not null,
        rate_per_minute integer,
        plans_per_day integer,
        created_at double precision not null,
        revoked_at double precision
    );
    create table usage (
        key_id text not null,
        day text not null,
        plans integer not null,
        primary key (key_id, day)
    )
    """,
    """
    create table threads (
        id text primary key,
        data text not null,
        created_at double precision not null
    );
    create index threads_by_age on threads (created_at)
    """,
    "alter table runs add column stalled integer not null default 0",
)
_LOCK = 7_305_128_011
"""Name of the lock under which Postgres migrates; any number that nobody else uses."""


def migrate(database: Database) -> None:
    """Bring the tables up to date. Raises `InputError` when they were written by a newer version."""
    database.now(lambda session: _migrate(session, shared=database.is_shared))


def _migrate(session: Session, *, shared: bool) -> None:
    if shared:
        session.all("select pg_advisory_xact_lock(:name)", name=_LOCK)
    session.script("create table if not exists meshwright_schema (version integer not null)")
    version = max((row["version"] for row in session.all("select version from meshwright_schema")), default=0)
    if version > len(MIGRATIONS):
        raise InputError(
            f"the database has schema {version}, this version knows {len(MIGRATIONS)}", hint="update Meshwright"
        )
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        session.script(script)
        session.all("insert into meshwright_schema (version) values (:number)", number=number)


def open_state(url: str) -> Database:
    """A database with its tables up to date. Raises `InputError`."""
    database = open_database(url)
    try:
        migrate(database)
    except BaseException:
        database.close()
        raise
    return database
