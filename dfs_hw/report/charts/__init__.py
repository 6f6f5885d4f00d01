"""A report as charts and tables: what pages, files of data and figures for papers are made of."""
