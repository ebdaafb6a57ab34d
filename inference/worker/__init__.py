"""Rows -> pipeline -> rows. Imported inside a worker's job only: these modules load the engines."""
