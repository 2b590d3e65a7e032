"""Tables of hosts and certificates, like the result of a scan of many servers.

Each row has an `id` that no other row has, not even in tables of other seeds. The
certificates look like those of the web. No two have the same key, except those of hosts
whose pins match. One in a hundred is malformed; some certificates and hosts are null.

    PYTHONPATH=bench python tests/helpers/certificate_tables.py FILE --rows 1000000
"""

from __future__ import annotations

import argparse
import functools
import itertools
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import certificates
from optional import client_library
from pinverify import Pin, Policy, core

__all__ = ["ROWS_OF_A_GROUP", "Row", "policy", "rows", "write", "write_parts"]

NUM_HOSTS = 1000
ROWS_OF_A_GROUP = 20_000
IDS_OF_A_TABLE = 1_000_000_000


class Row(NamedTuple):
    """A row of the table."""

    host: str | None
    der: bytes | None


@functools.cache
def leaves() -> Sequence[tuple[bytes, int]]:
    """Return a certificate for each host, and a place in its key."""
    found = []
    for der in certificates.web(NUM_HOSTS):
        spki = core.spki(der)
        found.append((der, der.index(spki) + len(spki) - 24))
    return found


def name(number: int) -> str:
    """Return the name of a host."""
    return f"www{number}.example{number % 7}.com"


@functools.cache
def policy() -> Policy:
    """Return a policy with a pin for each host but for one in ten."""
    pins = {
        name(i): [Pin.from_certificate(der), Pin.spki(bytes(32))]
        for i, (der, _) in enumerate(leaves())
        if i % 10
    }
    return Policy(pins, unpinned="reject")


def rows(num: int, seed: int = 1) -> Iterator[Row]:
    """Yield rows, the same each time."""
    rng = random.Random(seed)  # noqa: S311 - an order, no key
    for i in range(num):
        host = rng.randrange(NUM_HOSTS)
        der, place = leaves()[host]
        if i % 4:  # a key of its own
            der = der[:place] + rng.randbytes(16) + der[place + 16 :]
        if i % 100 == 99:
            der = rng.choice(
                (der[:-1], der + b"\0", b"", b"\x30\x03\x02\x01", der[:40])
            )
        null = rng.randrange(100)
        yield Row(None if null == 0 else name(host), None if null in (1, 2) else der)


def write(path: Path, num: int, seed: int = 1) -> None:
    """Write a Parquet file with rows in groups."""
    arrow: Any = client_library("pyarrow")
    parquet: Any = client_library("pyarrow.parquet")
    schema = arrow.schema(
        [("id", arrow.int64()), ("host", arrow.string()), ("der", arrow.binary())]
    )
    left = enumerate(rows(num, seed), IDS_OF_A_TABLE * seed)
    with parquet.ParquetWriter(path, schema, compression="none") as file:
        while some := list(itertools.islice(left, ROWS_OF_A_GROUP)):
            ids, found = zip(*some, strict=True)
            hosts, ders = zip(*found, strict=True)
            file.write_table(arrow.table([ids, hosts, ders], schema=schema))


def write_parts(folder: Path, num: int, parts: int) -> None:
    """Write *num* rows into several Parquet files, of the same length but for one."""
    length = num // parts
    for part in range(parts):
        rest = num - parts * length if part == 0 else 0
        write(folder / f"part-{part:05}.parquet", length + rest, seed=1 + part)


def main() -> None:
    """Write the file that the command line names."""
    parser = argparse.ArgumentParser(description="Write a table of certificates.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, default=ROWS_OF_A_GROUP)
    options = parser.parse_args()
    write(options.file, options.rows)


if __name__ == "__main__":
    main()
