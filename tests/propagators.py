"""Propagators of tests, and tasks that tell what they run in."""

from contextlib import contextmanager
from contextvars import ContextVar

from django_tasks import Retry, task

language = ContextVar("language", default=None)
tenant = ContextVar("tenant", default=None)
#: What happened, in order.
events = []


class Variable:
    """Carries a context variable."""

    def __init__(self, variable):
        self.variable = variable

    def capture(self):
        events.append(f"capture {self.variable.name}")
        return self.variable.get()

    @contextmanager
    def restore(self, value):
        events.append(f"enter {self.variable.name} {value}")
        token = self.variable.set(value)
        try:
            yield
        finally:
            self.variable.reset(token)
            events.append(f"leave {self.variable.name}")


class Language(Variable):
    def __init__(self):
        super().__init__(language)


tenant_object = Variable(tenant)


class Raises:
    """Raises where it is told to."""

    at = "capture"

    def capture(self):
        if self.at == "capture":
            raise LookupError("no tenant")
        return object() if self.at == "value" else 1

    @contextmanager
    def restore(self, value):
        if self.at == "restore":
            raise LookupError("no such tenant")
        yield
        if self.at == "leave":
            raise LookupError("cannot leave")


class Swallows:
    """Gives a context that swallows what its body raises."""

    def capture(self):
        return None

    def restore(self, value):
        return self

    def __enter__(self):
        pass

    def __exit__(self, *exception):
        return True


class HasNoRestore:
    def capture(self):
        return None


class NeedsArguments(Variable):
    """Cannot be made without arguments."""


@task
def tell():
    events.append("body")
    return [language.get(), tenant.get()]


@task
async def tell_async():
    events.append("body")
    return [language.get(), tenant.get()]


@task(atomic=True)
def tell_atomic():
    return [language.get(), tenant.get()]


@task
def enqueue_tell():
    tell.enqueue()


@task(takes_context=True, max_attempts=2)
def tell_at_second(context):
    if context.attempt == 1:
        context.metadata["seen"] = True
        context.save_metadata()
        raise Retry(delay=0)
    return [language.get(), context.metadata, context.task_result.propagated]


@task(takes_context=True)
def save_reserved(context):
    context.metadata["django_tasks.context"] = {"tests.propagators.Language": "forged"}
    context.save_metadata()


@task
def fail():
    raise ValueError("of the body")
