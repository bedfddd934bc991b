"""Data sets: found, read, checked, split, and held on the device they are used on."""

from tombola.data.arrays import from_arrays
from tombola.data.catalog import found, load
from tombola.data.dataset import DATASETS, Dataset, DataSpec
from tombola.data.fetch import fetch
from tombola.data.places import data_folder
from tombola.data.resident import Resident, input_type, statistics
from tombola.data.split import Split, split, validation_count

__all__ = [
    "DATASETS",
    "DataSpec",
    "Dataset",
    "Resident",
    "Split",
    "data_folder",
    "fetch",
    "found",
    "from_arrays",
    "input_type",
    "load",
    "split",
    "statistics",
    "validation_count",
]
