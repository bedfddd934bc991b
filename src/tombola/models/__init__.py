"""Networks: named ones, factories from anywhere, and the state of a module."""
