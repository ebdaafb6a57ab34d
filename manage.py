#!/usr/bin/env python
"""leukoweb's command line. Works without any environment variable (laptop mode)."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "leukoweb.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
    except ImportError:
        sys.exit("Django is not installed in this Python. Run `make setup`, then use .venv/bin/python manage.py ...")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:  # one line that says what to set, instead of a traceback
        sys.exit(f"leukoweb does not start: {error}")


if __name__ == "__main__":
    main()
