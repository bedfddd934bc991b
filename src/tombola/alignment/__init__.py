"""Alignment: which hidden unit of one network is the counterpart of which unit of another."""
