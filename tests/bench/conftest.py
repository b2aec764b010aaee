"""A prepared data set as the working folder of a test."""

from tests.support.workplace import prepared, workplace

__all__ = ["prepared", "workplace"]
