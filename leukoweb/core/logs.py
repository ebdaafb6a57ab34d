"""What may not stand in a log."""

from __future__ import annotations

import logging
import re

_KEYS = re.compile(r"(/join/)[^/\s]+")


class WithoutKeys(logging.Filter):
    """The address of a sign-in link is a key until it is used; Django logs addresses that it answers with an error."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if (clean := _KEYS.sub(r"\1...", text)) != text:
            record.msg, record.args = clean, None
        return True
