"""What builds the documentation: pages made of registries, types and commands, and pages whose code is run.

`mkdocs.yml` has `hooks.py` call the rest. Nothing here is part of the package.
"""
