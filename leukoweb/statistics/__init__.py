"""Statistics for reader studies: pure functions on numpy arrays, no Django, no database.

Every function takes the full ordered list of declared classes; labels are never inferred from data. Confusion
matrices have rows = reference (or first rater) and columns = predicted (or second rater). Undefined values
are NaN inside and JSON null outside. ``docs/statistics.md`` holds the definitions and the measured checks.
"""
