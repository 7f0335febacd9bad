"""Celery's Task: its options as attributes, its hooks, and what a body says through it."""

from __future__ import annotations

import sys
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from django.db import DEFAULT_DB_ALIAS, transaction

from ...definitions.signatures import CallChecker
from .. import _state, states
from ..exceptions import MaxRetriesExceededError, Retry
from ..result import AsyncResult, EagerResult
from ..utils import uuid
from ..values import encode
from . import native
from .context import Context, eager_request
from .registry import tasks as registered_tasks
from .trace import trace

if TYPE_CHECKING:
    from ..canvas import Signature
    from .base import Celery

__all__ = ["Context", "Task"]

#: Options of apply_async() that a task may have as attributes.
_CALL_OPTIONS = ("queue", "priority", "expires")


class Task:
    """
    A task. Options are attributes: of a class, of one that inherits it, or of the decorator.

    Times are seconds. Options that are None take the app's configuration, as in Celery.
    """

    MaxRetriesExceededError: ClassVar[Any] = MaxRetriesExceededError
    OperationalError: ClassVar[type[Exception]] = Exception

    #: What rows and settings call it.
    name: str | None = None
    app: Celery = None  # type: ignore[assignment]
    #: Raise TypeError where a call does not fit `run`.
    typing: bool | None = None
    #: Retries after the first attempt. None: for ever. 0: none.
    max_retries: int | None = 3
    #: Seconds before a retry that does not say.
    default_retry_delay: float = 3 * 60
    rate_limit: Any = None
    ignore_result: Any = None
    trail = True
    send_events = True
    store_errors_even_if_ignored: Any = None
    serializer: Any = None
    #: Seconds after which the process is killed, and after which SoftTimeLimitExceeded is raised.
    time_limit: float | None = None
    soft_time_limit: float | None = None
    track_started: Any = None
    #: Whether it runs again when its worker is killed. False: it fails.
    acks_late: Any = None
    acks_on_failure_or_timeout: Any = None
    reject_on_worker_lost: Any = None
    throws: tuple[type[BaseException], ...] = ()
    expires: Any = None
    priority: int | None = None
    queue: Any = None
    resultrepr_maxsize = 1024
    abstract = True
    Request: Any = None
    Strategy: Any = None

    __bound__ = False
    __header__: Any = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "abstract" not in cls.__dict__:
            cls.abstract = False

    @cached_property
    def request_stack(self) -> _state.LocalStack:
        """The requests of this task that run here; the newest is the top."""
        return _state.LocalStack(f"django_tasks_celery_requests_{id(self)}")

    @cached_property
    def _default_request(self) -> Context:
        return Context()

    def _get_request(self) -> Any:
        request = self.request_stack.top
        return self._default_request if request is None else request

    request: Any = property(_get_request)

    def push_request(self, *args: Any, **kwargs: Any) -> Context:
        """Make a new request the current one; for tests of bodies."""
        request: Context = self.request_stack.push(Context(*args, **kwargs))
        return request

    def pop_request(self) -> Any:
        """Take the current request away."""
        return self.request_stack.pop()

    # --- the body -------------------------------------------------------------------------------

    def run(self, *args: Any, **kwargs: Any) -> Any:
        """Do the task's work."""
        raise NotImplementedError("Tasks must define the run method.")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        request = self.request_stack.top
        if request is not None and not request._protected and not request.called_directly:
            request._protected = True  # this is the worker's call, by way of super().__call__()
            return self.run(*args, **kwargs)
        _state._task_stack.push(self)
        self.push_request(args=args, kwargs=kwargs)
        try:
            return self.run(*args, **kwargs)
        finally:
            self.pop_request()
            _state._task_stack.pop()

    # --- hooks ----------------------------------------------------------------------------------

    def before_start(self, task_id: Any, args: Any, kwargs: Any) -> Any:
        """Called before the body."""

    def on_success(self, retval: Any, task_id: Any, args: Any, kwargs: Any) -> Any:
        """Called when the body has returned, before the success is stored."""

    def on_retry(self, exc: Any, task_id: Any, args: Any, kwargs: Any, einfo: Any) -> Any:
        """Called when the task is to be retried."""

    def on_failure(self, exc: Any, task_id: Any, args: Any, kwargs: Any, einfo: Any) -> Any:
        """Called when the body has failed for good, before the failure is stored."""

    def after_return(
        self, status: Any, retval: Any, task_id: Any, args: Any, kwargs: Any, einfo: Any
    ) -> Any:
        """Called last, whatever became of the body."""

    @classmethod
    def bind(cls, app: Celery) -> Celery:
        """Make `app` the app of this class."""
        cls.app = app
        cls.on_bound(app)
        return app

    @classmethod
    def on_bound(cls, app: Celery) -> None:
        """Called when the class is bound to an app."""

    # --- calling --------------------------------------------------------------------------------

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Enqueue a call of the task, and return its result at once."""
        return self.apply_async(args, kwargs)

    def apply_async(
        self,
        args: Any = None,
        kwargs: Any = None,
        task_id: str | None = None,
        producer: Any = None,
        link: Any = None,
        link_error: Any = None,
        shadow: str | None = None,
        **options: Any,
    ) -> Any:
        """
        Enqueue a call of the task, and return its result at once.

        `countdown` (seconds) or `eta` (datetime): when it runs at the earliest. `expires` (seconds
        or a datetime): when it is not started any more. `queue`, `priority` (higher goes first),
        `task_id`, `headers`: as in Celery. Other options are named once, and ignored. Raise
        TypeError if the body does not take these arguments, or JSON does not have them.
        """
        args, kwargs = args or (), kwargs or {}
        if self.typing is not False:
            self._checker.check(args, kwargs)
        for name in _CALL_OPTIONS:
            if name not in options and (value := getattr(self, name)) is not None:
                options[name] = value
        app = self._get_app()
        if app.conf.task_always_eager:
            # As through JSON, so that what would fail on a worker fails here.
            args, kwargs = native.as_stored(args, kwargs)
            return self.apply(
                args, kwargs, task_id=task_id, link=link, link_error=link_error, **options
            )
        if link is not None or link_error is not None:
            options |= {"link": link, "link_error": link_error}
        if shadow is not None:
            options["shadow"] = shadow
        return app.send_task(
            str(self.name), args, kwargs, task_id=task_id, result_cls=self.AsyncResult,
            task_type=self, **options,
        )  # fmt: skip

    def delay_on_commit(self, *args: Any, **kwargs: Any) -> Any:
        """Enqueue when the transaction on "default" commits; see apply_async_on_commit()."""
        return self.apply_async_on_commit(args, kwargs)

    def apply_async_on_commit(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """
        Enqueue a call when the transaction on the database "default" commits.

        If the tasks are in that database this is apply_async(), as the row is part of the
        transaction. Else return None, as Celery does.
        """
        if native.database_of(self) == DEFAULT_DB_ALIAS:
            return self.apply_async(args, kwargs, **options)
        transaction.on_commit(partial(self.apply_async, args, kwargs, **options))
        return None

    def apply(
        self,
        args: Any = None,
        kwargs: Any = None,
        link: Any = None,
        link_error: Any = None,
        task_id: str | None = None,
        retries: int | None = None,
        throw: bool | None = None,
        logfile: Any = None,
        loglevel: Any = None,
        headers: Any = None,
        **options: Any,
    ) -> EagerResult:
        """
        Run the task here and now, with its retries, and return its result.

        `throw`: raise what the body raises; None: as `task_eager_propagates` says.
        """
        app = self._get_app()
        throw = app.conf.task_eager_propagates if throw is None else throw
        task_id = task_id or uuid()
        request = eager_request(
            self, task_id, args or (), kwargs or {}, retries or 0, headers or {}, options
        )
        task = registered_tasks.get(str(self.name), self)
        if link is not None or link_error is not None:
            native.refuse_links()
        traced = trace(task, request, request.args, request.kwargs, propagate=bool(throw))
        if traced.state == states.RETRY and traced.value.sig is not None:
            return traced.value.sig.apply(retries=request.retries + 1, task_id=task_id)  # type: ignore[no-any-return]
        einfo = traced.einfo
        return EagerResult(
            task_id,
            traced.value,
            traced.state or states.FAILURE,
            traceback=einfo.traceback if einfo else None,
            name=self.name,
        )

    # --- inside of a body -----------------------------------------------------------------------

    def retry(
        self,
        args: Any = None,
        kwargs: Any = None,
        exc: BaseException | None = None,
        throw: bool = True,
        eta: Any = None,
        countdown: float | None = None,
        max_retries: int | None = None,
        **options: Any,
    ) -> Retry:
        """
        Run the task again later. It always raises: Retry, or if there are no retries left `exc`.

        `countdown` (seconds) or `eta` (datetime); without them default_retry_delay. `args` and
        `kwargs`: None keeps what it was called with. `max_retries`: None takes the task's own.
        Called outside of a worker it raises `exc`, or what is handled. `throw=False` returns the
        Retry, for the body to raise.
        """
        request = self.request
        if max_retries is not None:
            self.override_max_retries = max_retries
        most = self.max_retries if max_retries is None else max_retries
        if request.called_directly:
            _raise_with_context(exc or Retry("Task can be retried", None))
        if not eta and countdown is None:
            countdown = self.default_retry_delay
        again = self.signature_from_request(request, args, kwargs, **options)
        if most is not None and request.retries + 1 > most:
            if exc:
                _raise_with_context(exc)
            raise self.MaxRetriesExceededError(
                f"Can't retry {self.name}[{request.id}] args:{again.args} kwargs:{again.kwargs}",
                task_args=again.args,
                task_kwargs=again.kwargs,
            )
        when = countdown if eta is None else eta
        retry = Retry(exc=exc, when=when, is_eager=request.is_eager, sig=again)
        if throw:
            raise retry
        return retry

    def update_state(
        self, task_id: str | None = None, state: str | None = None, meta: Any = None, **kwargs: Any
    ) -> None:
        """
        Show `state` and `meta` (JSON) as those of the task while it runs.

        Raise NotImplementedError for the id of another task: a running task speaks for itself.
        """
        request = self.request
        if task_id is not None and task_id != request.id:
            raise NotImplementedError(
                "update_state() is for the task that calls it, not for another one: return a value,"
                " or store the state in a model."
            )
        context = getattr(request, "_context", None) if not request.is_eager else None
        if context is not None:
            context.set_state(state or states.STARTED, encode(meta))

    def send_event(self, type_: str, **fields: Any) -> None:
        """Do nothing: there are no events."""

    def replace(self, sig: Any) -> NoReturn:
        """Let a signature take the task's place."""
        from ..canvas import replace

        replace(self, sig)

    # --- signatures and results -----------------------------------------------------------------

    def signature(self, args: Any = None, *starargs: Any, **starkwargs: Any) -> Signature:
        """Return a signature: this task with arguments and options, to be called later."""
        from ..canvas import Signature

        starkwargs.setdefault("app", self.app)
        return Signature(self, args, *starargs, **starkwargs)

    subtask = signature

    def s(self, *args: Any, **kwargs: Any) -> Signature:
        """Return a signature with these arguments."""
        return self.signature(args, kwargs)

    def si(self, *args: Any, **kwargs: Any) -> Signature:
        """Return a signature that takes no further arguments."""
        return self.signature(args, kwargs, immutable=True)

    def signature_from_request(
        self, request: Any = None, args: Any = None, kwargs: Any = None, **options: Any
    ) -> Signature:
        """Return a signature of the call that runs, with other arguments if they are given."""
        request = self.request if request is None else request
        return self.signature(
            request.args if args is None else args,
            request.kwargs if kwargs is None else kwargs,
            options,
        )

    subtask_from_request = signature_from_request

    def AsyncResult(self, task_id: str, **kwargs: Any) -> AsyncResult:  # noqa: N802 - Celery's name
        """Return the result of a call of this task."""
        result: AsyncResult = self._get_app().AsyncResult(task_id, task_name=self.name, **kwargs)
        return result

    @property
    def backend(self) -> Any:
        """The native backend, in whose database the results are."""
        return native.of(self).get_backend()

    def start_strategy(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: there is no consumer whose strategy it could be."""
        raise NotImplementedError("Strategies belong to Celery's consumer; use the task's hooks.")

    @classmethod
    def _get_app(cls) -> Celery:
        return cls.app or _state.get_current_app()

    @cached_property
    def _checker(self) -> CallChecker:
        run = getattr(self, "_orig_run", self.run)
        return CallChecker(run, False)

    def __reduce__(self) -> Any:
        return _find, (self.name,)

    def __repr__(self) -> str:
        return f"<@task: {self.name} of {self._get_app().main or 'default'}>"


def _find(name: str) -> Any:
    return registered_tasks[name]


def _raise_with_context(error: BaseException) -> NoReturn:
    """Raise `error` from what is handled, if anything is."""
    handled = sys.exc_info()[1]
    if handled is error:
        raise error
    raise error from handled
