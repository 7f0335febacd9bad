"""Brokers for the tests of this folder, with names of their own for each; workers and tables."""

import logging
from pathlib import Path

import pytest

from tests.brokers.steps import Redis, broker_settings
from tests.servers import ServerUnavailable, private_rabbitmq, private_redis
from tests.worker.conftest import book, clean, gate, start, tables  # noqa: F401

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """Ask for the database. available_apps: the flush touches no table, see `clean`."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.django_db(transaction=True, available_apps=["tests"]))


@pytest.fixture
def redis(redis_url, settings):
    """Let this process' default backend use a Redis broker; return a look at what it holds."""
    redis = Redis(redis_url)
    for name, value in broker_settings(redis).items():
        setattr(settings, name, value)
    yield redis
    redis.delete_all()


@pytest.fixture
def mortal_redis(settings):
    """Return a Redis server that a test may kill, and let this process use it."""
    with private_redis() as server:
        redis = Redis(server.url(), server)
        for name, value in broker_settings(redis).items():
            setattr(settings, name, value)
        yield redis


@pytest.fixture
def rabbitmq(rabbitmq_url, settings):
    """Let this process' default backend use RabbitMQ; return what its messages are."""
    from tests.brokers.kombu_steps import Post

    post = Post(rabbitmq_url)
    settings.TASKS = post.settings["TASKS"]
    yield post
    post.delete_all()


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


@pytest.fixture(params=["classic", "quorum", "memory", "sqs"])
def post(request, settings):
    """Let the default backend use one transport after the other."""
    from tests.brokers.kombu_steps import Post, sqs

    if request.param == "memory":
        post = Post("memory://")
    elif request.param == "sqs":
        post = sqs(request.getfixturevalue("moto"))
    else:
        post = Post(request.getfixturevalue("rabbitmq_url"), queue_type=request.param)
    settings.TASKS = post.settings["TASKS"]
    yield post
    post.delete_all()


@pytest.fixture(scope="session")
def private_rabbitmq_server():
    """Return a RabbitMQ server for those that stop it; it takes seconds to start."""
    try:
        with private_rabbitmq() as server:
            yield server
    except ServerUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture
def mortal_rabbitmq(private_rabbitmq_server, settings):
    """Return a RabbitMQ that a test may stop, and let this process use it."""
    from tests.brokers.kombu_steps import Post

    post = Post(private_rabbitmq_server.url(), private_rabbitmq_server)
    settings.TASKS = post.settings["TASKS"]
    yield post
    if post.server.process.poll() is not None:
        post.server.start()
