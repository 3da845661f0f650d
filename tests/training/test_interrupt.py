"""Signals in training: noted once, at once where nothing is lost by it, and left alone where they are ignored."""

from __future__ import annotations

import os
import signal

import pytest

from ssamba.training.interrupt import SIGNALS, SignalWatch, StopWaiting


@pytest.fixture
def handled():
    """Every signal calls this list's append, as a program's own handler would."""
    seen: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: seen.append(number)) for number in SIGNALS}
    yield seen
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number):
    os.kill(os.getpid(), number)


def test_the_first_is_noted_and_the_second_acts(handled):
    for number in (signal.SIGINT, signal.SIGTERM):
        with SignalWatch() as watch:
            send(number)
            assert (watch.received, handled) == (number, [])
            send(number)
            assert handled.pop() == number
    send(signal.SIGTERM)
    assert handled == [signal.SIGTERM]


def test_a_lost_connection_may_be_told_of_twice(handled):
    with SignalWatch() as watch:
        send(signal.SIGHUP)
        send(signal.SIGHUP)
        assert (watch.received, handled) == (signal.SIGHUP, [])
    send(signal.SIGHUP)
    assert handled == [signal.SIGHUP]


def test_an_ignored_signal_stays_ignored(handled):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    with SignalWatch() as watch:
        send(signal.SIGHUP)
        assert watch.received == 0
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_a_wait_ends_at_once(handled):
    reached = []

    def wait(watch, number=0):
        with watch.at_once():
            reached.append("in it")
            os.kill(os.getpid(), number)
            reached.append("on")

    with SignalWatch() as watch:
        with pytest.raises(StopWaiting):
            wait(watch, signal.SIGINT)
        assert reached == ["in it"]
        with pytest.raises(StopWaiting):  # it came before
            wait(watch)
        assert reached == ["in it"]
        with watch.at_once(False):
            pass
    assert handled == []


def test_outside_a_wait_nothing_is_raised(handled):
    with SignalWatch() as watch:
        with watch.at_once():
            pass
        send(signal.SIGINT)
        assert watch.received == signal.SIGINT
