"""What may not stand in a log."""

from __future__ import annotations

import logging
import re

_KEYS = re.compile(r"(/join/)[^/\s]+")


class WithoutKeys(logging.Filter):
    """The address of a sign-in link is a key until it is used; Django logs addresses that it answers with an error."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            return True  # a call that does not fit its own words: the handler says so, the caller lives on
        if (clean := _KEYS.sub(r"\1...", text)) != text:
            record.msg, record.args = clean, None
        return True
