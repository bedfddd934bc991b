"""An index of the cells of a folder: their records, kept in one file, so that large runs open quickly."""
