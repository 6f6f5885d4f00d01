"""How each family of arrays multiplies at given widths."""
