"""A prepared data set, or a finished cell, as the working folder of a test."""

from tests.support.workplace import finished, finished_cells, prepared, workplace

__all__ = ["finished", "finished_cells", "prepared", "workplace"]
