from types import SimpleNamespace

import pytest

from backbench.compat.networks.attributes import replaced


def test_an_attribute_is_set_back_after_an_error_too() -> None:
    owner = SimpleNamespace(name="before")
    with pytest.raises(ZeroDivisionError), replaced(owner, "name", 0):
        print(1 / owner.name)
    assert owner.name == "before"


def test_only_what_the_owner_itself_has_is_replaced() -> None:
    """What it has of its class could not be set back."""
    with pytest.raises(KeyError), replaced(SimpleNamespace(), "name", 1):
        pass
