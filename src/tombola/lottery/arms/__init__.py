"""Arms: what is done to the ticket's mask, its weights and its dead weights."""
