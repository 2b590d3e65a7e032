"""Sessions of Spark on this machine, whose processes talk over the loopback interface.

`CLUSTER` has two executors, each a process of its own, as on a cluster; `local[2]` has
two threads in the process of the driver.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from optional import client_library

__all__ = ["CLUSTER", "local_session"]

CLUSTER = "local-cluster[2,1,1024]"
"""Two executors with one core and 1,024 MB each."""


def local_session(master: str) -> Any:  # noqa: ANN401 - a SparkSession
    """Start a session, whose workers are this Python.

    Args:
        master: `CLUSTER` or ``local[n]``.
    """
    sql: Any = client_library("pyspark.sql")
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    os.environ["SPARK_LOCAL_HOSTNAME"] = "127.0.0.1"
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = (
        sql.SparkSession.builder.master(master)
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", "2g")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        # The native library of snappy cannot be loaded where musl stands beside glibc.
        .config("spark.sql.parquet.compression.codec", "uncompressed")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    return session
