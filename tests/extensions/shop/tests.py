"""The shop's own tests of what it brings."""

import tempfile
from unittest import TestCase

from django.test import TransactionTestCase

from django_tasks.conformance import BrokerConformance, PoolConformance


class DirectoryBrokerTests(BrokerConformance, TransactionTestCase):
    unreachable = {"name": "shop.brokers.DirectoryBroker", "path": "/nowhere"}

    def setUp(self):
        path = self.enterContext(tempfile.TemporaryDirectory())
        self.broker = {"name": "shop.brokers.DirectoryBroker", "path": path}
        super().setUp()


class FreshThreadPoolTests(PoolConformance, TestCase):
    pool = "shop.pools.FreshThreadPool"
