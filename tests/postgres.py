"""A real PostgreSQL server of our own: made in a temporary folder from Debian's packages, and gone afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

__all__ = ("absence", "new_database", "running_server")

_FAST = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off"


def _program(name: str) -> Path | None:
    """Find a program of the server: Debian keeps it beside its version, not on the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    found = shutil.which(name) or (debian[-1] if debian else None)
    return Path(found).resolve() if found else None


def absence() -> str:
    """Say why no server can be started here; empty if one can."""
    missing = [name for name in ("initdb", "postgres", "pg_ctl") if _program(name) is None]
    return f"PostgreSQL is not installed ({', '.join(missing)}): apt-get install postgresql" if missing else ""


@contextmanager
def running_server() -> Iterator[str]:
    """Run a server on a socket of its own; give the URL of its first database."""
    initdb, pg_ctl = _program("initdb"), _program("pg_ctl")
    assert initdb is not None, absence()
    assert pg_ctl is not None, absence()
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to be run by root
    with tempfile.TemporaryDirectory(prefix="pg", ignore_cleanup_errors=True) as folder:
        if user is not None:
            shutil.chown(folder, user, user)

        def run(*command: str | Path) -> None:
            extra = None if user is None else ()
            subprocess.run(
                command, check=True, stdout=subprocess.DEVNULL, cwd=folder, user=user, group=user, extra_groups=extra
            )

        data = Path(folder) / "data"
        run(initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        options = f"-k {folder} -c listen_addresses= -c max_connections=50 {_FAST}"
        run(pg_ctl, "-D", data, "-w", "-l", Path(folder) / "log", "-o", options, "start")
        try:
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            run(pg_ctl, "-D", data, "-m", "immediate", "stop")


def new_database(server: str, name: str) -> str:
    """Make an empty database; give its URL."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return server.replace("/postgres?", f"/{name}?")
