"""The energy report: one self-contained page, and its plots."""
