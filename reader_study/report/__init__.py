"""Figures, the report and its checklists, from a result. Pure: matplotlib and reportlab, no database."""
