"""What may be handed in as data from Python, and what is said of anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import tombola
from tombola.data import given as given_module
from tombola.data.arrays import from_arrays, read_npz
from tombola.data.given import dataset_of
from tombola.errors import Notice, UserError

X, Y = np.arange(24, dtype=np.float32).reshape(6, 4), np.array([0, 1, 0, 1, 1, 0])


class Mapped(Dataset[Any]):
    """A map-style data set, as its author might write it."""

    def __init__(self, x: Any = X, y: Any = Y) -> None:
        self.x, self.y, self.asked = x, y, list[int]()

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> Any:
        self.asked.append(i)
        return torch.as_tensor(self.x[i]), int(self.y[i])


class Endless(IterableDataset[Any]):
    """A data set without places."""

    def __iter__(self) -> Any:
        return iter(())


def tensors() -> TensorDataset:
    return TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))


@pytest.mark.parametrize(
    "given",
    [
        ((X, Y), (X, Y)),
        [[X, Y], [X, Y]],
        (X, Y, X, Y),
        {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y, "more": 1},
        (tensors(), tensors()),
        (Mapped(), (X, Y)),
        from_arrays((X, Y), (X, Y), "mine"),
    ],
    ids=["pairs", "lists", "four", "table", "tensors", "mapped", "ours"],
)
def test_it_becomes_the_same_data_set(given: Any) -> None:
    assert dataset_of(given).digest == from_arrays((X, Y), (X, Y)).digest


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (DataLoader(tensors()), "data: a DataLoader (which draws batches; hand in its .dataset) found"),
        (tensors(), "data: a TensorDataset found; expected a name"),
        (X, "data: a ndarray found"),
        (7, "data: an int found"),
        ((DataLoader(tensors()), tensors()), "data, training part: a DataLoader (which draws batches"),
        ((tensors(), Endless()), "data, test part: a data set of torch without places, Endless, found"),
        ((X, Y), "data, training part: a ndarray found"),
        ((X, Y, X), "data: 3 parts found"),
        (((X, Y, X), (X, Y)), "data, training part: 3 arrays found; expected (examples, labels)"),
        ({"x": X}, "data: a table with x found; expected x_train, y_train, x_test, y_test"),
        ((Mapped([], []), tensors()), "data, training part: an empty Mapped found"),
        ((("ab", "cd"), tensors()), "training part, examples: <U2 found; expected numbers"),
        ((Mapped([X[0], X[0, :2]], [0, 1]), tensors()), "training part: example 1 has shape [2], and example 0 [4]"),
        (([X, Y], {0: 1}), "data, test part: example 0 is an int; expected (example, label)"),
    ],
)  # fmt: skip
def test_anything_else_is_named(given: Any, said: str) -> None:
    with pytest.raises(UserError) as problem:
        dataset_of(given)
    assert said in str(problem.value)


def test_a_picture_that_no_transform_made_a_tensor_of_is_named() -> None:
    class Words(Mapped):
        def __getitem__(self, i: int) -> Any:
            return "word", 0

    with pytest.raises(
        UserError, match=r"example 0 is a str; expected numbers \(a transform to tensors is left"
    ):
        dataset_of((Words(), tensors()))


class Pairs(Mapped):
    """Hands out what it was made of."""

    def __getitem__(self, i: int) -> Any:
        return self.x[i], self.y[i]


def test_the_first_example_does_not_cut_down_the_others() -> None:
    numbers = Pairs([np.array([1, 2]), np.array([0.5, 1.5]), np.array([3, 4])], [0, 0.5, 1.7])
    data = dataset_of((numbers, numbers))
    assert data.train_x.tolist() == [[1, 2], [0.5, 1.5], [3, 4]]
    assert data.train_y.tolist() == [[0], [0.5], [pytest.approx(1.7)]]


def test_bytes_among_other_numbers_are_named() -> None:
    mixed = Pairs([np.array([1, 2], np.uint8), np.array([0.5, 1], np.float32)], [0, 1])
    with pytest.raises(
        UserError, match="example 1 is of type float32, and those before it uint8; expected one type"
    ):
        dataset_of((mixed, mixed))


def test_a_large_one_is_read_once_and_its_size_is_said_first(monkeypatch: pytest.MonkeyPatch) -> None:
    mapped = Mapped()
    monkeypatch.setattr(given_module, "LARGE", 96)
    with pytest.warns(Notice, match="data, training part: 6 examples are read into memory, 0.1 MB"):
        dataset_of((mapped, tensors()))
    assert mapped.asked == [0, *range(6)]


def test_a_name_is_only_a_label() -> None:
    data = from_arrays((X, Y), (X, Y), name="mydigits")
    recipe = tombola.Recipe(iterations=4, batch=2, evaluate_every=2)
    options: dict[str, Any] = {"recipe": recipe, "validation": 2}
    ticket, _ = tombola.train("lenet-3", data, **options)
    assert ticket.provenance["data"]["name"] == "arrays"
    assert ticket.provenance["data"]["digest"] == data.digest
    same = tombola.train("lenet-3", (tensors(), Mapped()), **options)[0]
    assert all(torch.equal(same.end[name], tensor) for name, tensor in ticket.end.items())  # type: ignore[union-attr, index]
    assert tombola.evaluate(ticket, (X, Y, X, Y)).examples == 6
    assert [each.provenance["level"] for each in tombola.draw("lenet-3", data, levels=1, **options)] == [0, 1]


def test_a_run_takes_them_too(tmp_path: Path) -> None:
    settings = ["iterations=4", "batch=2", "evaluate_every=2", "levels=1", "replicates=1", "validation=2"]
    settings += ["donors=0", "arms=[]", "hypothesis=[]", "curve_every=0", "model.name=lenet-3"]
    run = tombola.run("quick", settings=settings, data=(X, Y, X, Y), out=tmp_path)
    assert run.study.data.name == "arrays"


@pytest.mark.parametrize("kind", [np.int64, np.float32, np.bool_])
def test_one_hot_labels_are_taken(kind: type) -> None:
    assert from_arrays((X, np.eye(2)[Y].astype(kind)), (X, Y)).train_y.tolist() == Y.tolist()


def test_several_labels_an_example_are_refused() -> None:
    several = np.eye(3)[[0, 1, 2, 0, 1, 2]]
    several[4, 0] = 1
    with pytest.raises(
        UserError, match="training part: row 4 has 2 of 3 labels; expected one label an example"
    ):
        from_arrays((X, several), (X, Y))


def test_arrays_of_objects_are_stacked_or_named() -> None:
    rows = np.empty(6, dtype=object)
    rows[:] = list(X)
    assert np.array_equal(from_arrays((rows, Y), (X, Y)).train_x.numpy(), X)
    rows[2] = X[2, :3]
    with pytest.raises(UserError, match="training part, examples: objects of different shapes found"):
        from_arrays((rows, Y), (X, Y))
    with pytest.raises(UserError, match=r"training part, labels: objects \(str\) found|<U1 found"):
        from_arrays((X, np.array(list("ababab"), dtype=object)), (X, Y))


@pytest.mark.parametrize("shape", [(6, 8, 8, 3), (6, 6, 9, 3), (6, 12, 5, 1)])
def test_channels_that_are_last_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"have their channels last; expected \[n, channels, height, width\]"):
        from_arrays((np.zeros(shape), Y), (np.zeros(shape), Y))


def test_the_keys_of_medmnist(tmp_path: Path) -> None:
    images = np.arange(6 * 5 * 7 * 3, dtype=np.uint8).reshape(6, 5, 7, 3)
    arrays = {
        "train_images": images,
        "train_labels": Y[:, None],
        "test_images": images,
        "test_labels": Y[:, None],
    }
    np.savez(tmp_path / "a.npz", **arrays, val_images=images)
    data = read_npz("npz:a.npz", tmp_path / "a.npz")
    assert data.shape == (3, 5, 7)
    assert np.array_equal(data.train_x.numpy(), images.transpose(0, 3, 1, 2))


def test_channels_of_such_a_file_that_are_first_stay_there(tmp_path: Path) -> None:
    for shape in ((6, 3, 5, 7), (6, 1, 9, 4), (6, 3, 8, 3)):
        images = np.arange(np.prod(shape)).astype(np.uint8).reshape(shape)
        arrays = {"train_images": images, "train_labels": Y, "test_images": images, "test_labels": Y}
        np.savez(tmp_path / "a.npz", **arrays)
        assert np.array_equal(read_npz("npz:a.npz", tmp_path / "a.npz").train_x.numpy(), images)
