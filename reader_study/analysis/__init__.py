"""The analysis of a reader study as a pure function: frozen inputs in, result, tables and text out.

Nothing here knows a database. ``inputs`` is the document that a study is frozen into, ``run.analyse`` the one function
that computes from it, ``tables`` the one place that turns a result into rows. The web pages, the exports, the report,
the bundle and its verification all use these.
"""
