"""The report: figures, the page, the paper and slides, drawn from tidy tables alone."""
