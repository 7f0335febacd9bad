"""
Tests that brokers, pools and serializers of others inherit: what this package relies on.

Each is a mixin for a test case of one's own test suite, as it is described in
docs/howto/write-an-extension::

    class DirectoryBrokerTests(BrokerConformance, TransactionTestCase):
        broker = {"name": "shop.brokers.DirectoryBroker", "path": "/tmp/ready"}
"""

from .brokers import BrokerConformance
from .pools import PoolConformance
from .serializers import SerializerConformance

__all__ = ["BrokerConformance", "PoolConformance", "SerializerConformance"]
