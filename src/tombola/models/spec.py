"""The [model] table of a study."""

from __future__ import annotations

from pydantic import ConfigDict

from tombola.plugins.source import Code
from tombola.table import Table

Option = int | float | str | bool


class ModelSpec(Table):
    """The [model] table: a name (`lenet-300-100`, `conv-2`, `package.module:factory`) and its options.

    Every network of ours has the option `init`: "glorot-normal" (the default) or "kaiming-normal". `prune` are
    patterns of the names of further matrices to prune, beside the Linear and Conv weights: those of nn.LSTM and
    nn.GRU, `in_proj_weight` of attention, embeddings. `*`, `?` and `[...]` match as in file names.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """A name of `tombola catalog models`, or `package.module:factory` of your own."""
    options: dict[str, Option] = {}  # noqa: RUF012 (pydantic copies it)
    """What the factory is called with."""
    prune: tuple[str, ...] = ()
    """Patterns of the names of further matrices to prune."""

    @property
    def code(self) -> list[Code]:
        """The factory, where it is one's own."""
        return [Code(self.name, self.options)] if ":" in self.name else []
