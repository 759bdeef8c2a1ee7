"""Checks before and while a distiller trains, and what their errors advise."""
