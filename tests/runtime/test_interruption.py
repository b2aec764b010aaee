"""Signals that ask a process to leave, and what is told of them."""

import signal
from collections.abc import Iterator

import pytest

from backbench.runtime.interruption import STOP_SIGNALS, StopSignals, is_asked_to_leave


@pytest.fixture(autouse=True)
def _unasked() -> Iterator[None]:
    """A process that nobody has asked, afterwards too."""
    assert not is_asked_to_leave()
    yield
    with StopSignals():
        pass


@pytest.mark.parametrize("number", STOP_SIGNALS, ids=lambda number: number.name)
def test_a_signal_asks_to_leave_and_what_it_did_before_comes_back(number: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in STOP_SIGNALS]
    with StopSignals() as signals:
        assert not signals.came()
        signal.raise_signal(number)
        assert signals.came()
        assert signals.received == number
        assert is_asked_to_leave()
    assert [signal.getsignal(each) for each in STOP_SIGNALS] == before
    assert not is_asked_to_leave(), "whoever computes next is not asked"


def test_where_the_work_failed_signals_do_what_they_did_before() -> None:
    def fail() -> None:
        with StopSignals():
            signal.raise_signal(signal.SIGTERM)
            raise ZeroDivisionError

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError):
        fail()
    assert signal.getsignal(signal.SIGTERM) == before
    assert not is_asked_to_leave()
