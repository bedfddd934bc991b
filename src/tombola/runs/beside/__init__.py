"""What lies beside a run: copies of its networks, ladders that lend to it, and other runs."""
