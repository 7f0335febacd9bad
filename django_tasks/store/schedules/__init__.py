"""Rows of schedules: edited by people, synchronised with code, advanced by beats."""
