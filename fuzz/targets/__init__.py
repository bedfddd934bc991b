"""One target a reader: a file beside this one, with what it reads, what inputs are made from, and by which trees."""
