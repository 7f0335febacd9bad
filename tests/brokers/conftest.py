"""Brokers for the tests of this folder, with names of their own for each; workers and tables."""

import logging
from pathlib import Path

import pytest
from django.db import connection

from tests.brokers.steps import Redis
from tests.servers import private_redis
from tests.worker.conftest import book, clean, gate, start, tables  # noqa: F401

HERE = Path(__file__).parent
#: What hands ids out. Beside SQLite one is tried: tests/conformance has them all on all databases.
BROKERS = ["redis", "classic", "quorum", "memory", "sqs"]
SERVERS = ["redis", "rabbitmq"]
if connection.vendor != "sqlite":
    del BROKERS[1:], SERVERS[1:]


def pytest_collection_modifyitems(items):
    """Ask for the database. available_apps: the flush touches no table, see `clean`."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.django_db(transaction=True, available_apps=["tests"]))


def pytest_generate_tests(metafunc):
    """Run a test with the brokers that its marker `brokers` names, or with all."""
    for fixture, there in (("broker", BROKERS), ("mortal", SERVERS)):
        if fixture in metafunc.fixturenames:
            marker = metafunc.definition.get_closest_marker("brokers")
            wanted = [name for name in there if marker is None or name in marker.args]
            metafunc.parametrize(fixture, wanted, indirect=True)


@pytest.fixture
def broker(request, settings):
    """Let this process' default backend use one broker after the other."""
    if request.param == "redis":
        broker = request.getfixturevalue("redis")
    else:
        broker = post_of(request.param, request)
    broker.use(settings)
    yield broker
    broker.delete_all()


def post_of(kind, request):
    """Return what a transport of kombu's holds."""
    pytest.importorskip("kombu")
    from tests.brokers.kombu_steps import Post, sqs

    if kind == "memory":
        return Post("memory://")
    if kind == "sqs":
        return sqs(request.getfixturevalue("moto"))
    return Post(request.getfixturevalue("rabbitmq_url"), queue_type=kind)


@pytest.fixture
def mortal(request):
    """Return a broker that a test may kill, and let this process use it."""
    return request.getfixturevalue(f"mortal_{request.param}")


@pytest.fixture
def redis(redis_url, settings):
    """Let this process' default backend use a Redis broker; return a look at what it holds."""
    redis = Redis(redis_url)
    redis.use(settings)
    yield redis
    redis.delete_all()


@pytest.fixture
def mortal_redis(settings):
    """Return a Redis server that a test may kill, and let this process use it."""
    with private_redis() as server:
        redis = Redis(server.url(), server)
        redis.use(settings)
        yield redis


@pytest.fixture
def rabbitmq(request, settings):
    """Let this process' default backend use RabbitMQ; return what its messages are."""
    post = post_of("classic", request)
    post.use(settings)
    yield post
    post.delete_all()


@pytest.fixture
def mortal_rabbitmq(private_rabbitmq, settings):
    """Return a RabbitMQ that a test may stop, and let this process use it."""
    pytest.importorskip("kombu")
    from tests.brokers.kombu_steps import Post

    post = Post(private_rabbitmq.url(), private_rabbitmq)
    post.use(settings)
    return post


@pytest.fixture(scope="session")
def moto():
    """Return the address of a server that answers as SQS does."""
    moto = pytest.importorskip("moto.server")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line for each request
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
