"""The shop's own tests of what it brings."""

import tempfile
from datetime import UTC, date, datetime
from decimal import Decimal
from unittest import TestCase

from django.test import TransactionTestCase

from django_tasks.conformance import BrokerConformance, PoolConformance, SerializerConformance


class DirectoryBrokerTests(BrokerConformance, TransactionTestCase):
    unreachable = {"name": "shop.brokers.DirectoryBroker", "path": "/nowhere"}

    def setUp(self):
        path = self.enterContext(tempfile.TemporaryDirectory())
        self.broker = {"name": "shop.brokers.DirectoryBroker", "path": path}
        super().setUp()


class FreshThreadPoolTests(PoolConformance, TestCase):
    pool = "shop.pools.FreshThreadPool"


class ShopSerializerTests(SerializerConformance, TestCase):
    serializer = "shop.serializers.ShopSerializer"
    values = [date(2026, 3, 1), datetime(2026, 3, 1, 12, tzinfo=UTC), Decimal("12.30")]
