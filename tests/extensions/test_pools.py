"""The built-in pools keep the contract that pools of others are tried with."""

from importlib.util import find_spec
from unittest import TestCase, skipUnless

from django_tasks.conformance import PoolConformance


class PreforkTests(PoolConformance, TestCase):
    pool = "prefork"
    slots = 1


class ThreadsTests(PoolConformance, TestCase):
    pool = "threads"


class AsyncioTests(PoolConformance, TestCase):
    pool = "asyncio"


@skipUnless(find_spec("gevent"), "gevent is not installed")
class GeventTests(PoolConformance, TestCase):
    pool = "gevent"
