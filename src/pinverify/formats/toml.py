"""pinverify's own format, under the name that it had; it is in `pinverify.files`."""

from pinverify.files.toml import dumps, loads

__all__ = ["dumps", "loads"]
