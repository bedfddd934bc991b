"""The loops that the engines `sparse` and `sparse-conv` compile, and how they lay networks out."""
