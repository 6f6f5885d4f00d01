"""A report as files: a page, JSON, tables, figures, timelines."""
