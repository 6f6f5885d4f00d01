"""Traces replayed from file to file, row group by row group."""
