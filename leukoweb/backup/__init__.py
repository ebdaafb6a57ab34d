"""Backups of the database and of the stored files, taken while people work, and restores that prove themselves."""
