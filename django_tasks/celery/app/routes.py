"""Which queue a task goes to: `task_routes` in all its shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import translate
from typing import Any

from django.utils.module_loading import import_string

__all__ = ["MapRoute", "route_of"]


class MapRoute:
    """Routes by name, by glob (``"feeds.*"``) or by compiled pattern."""

    def __init__(self, routes: Any) -> None:
        pairs = routes.items() if isinstance(routes, Mapping) else routes
        self.exact: dict[str, Any] = {}
        self.patterns: list[tuple[re.Pattern[str], Any]] = []
        for name, route in pairs:
            if isinstance(name, re.Pattern):
                self.patterns.append((name, route))
            elif "*" in name:
                self.patterns.append((re.compile(translate(name)), route))
            else:
                self.exact[name] = route

    def __call__(self, name: str, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        if name in self.exact:
            return _as_dict(self.exact[name])
        for pattern, route in self.patterns:
            if pattern.match(name):
                return _as_dict(route)
        return None


def route_of(
    routes: Any, name: str, args: Any, kwargs: Any, options: dict[str, Any], task: Any
) -> dict[str, Any]:
    """
    Return the options that the first fitting of `routes` gives: queue, priority, and others.

    `routes`: a dict, a list of dicts, functions, objects with route_for_task() and dotted paths of
    such, or one of them.
    """
    if not routes:
        return {}
    routers = routes if isinstance(routes, (list, tuple)) and not _is_pairs(routes) else [routes]
    for router in routers:
        found = _ask(router, name, args, kwargs, options, task)
        if found is not None:
            return _as_dict(found)
    return {}


def _is_pairs(routes: Any) -> bool:
    return all(isinstance(r, (list, tuple)) and len(r) == 2 for r in routes)


def _ask(router: Any, name: str, args: Any, kwargs: Any, options: dict[str, Any], task: Any) -> Any:
    if isinstance(router, str):
        router = import_string(router)
        router = router() if isinstance(router, type) else router
    if isinstance(router, (Mapping, list, tuple)):
        return MapRoute(router)(name)
    if hasattr(router, "route_for_task"):
        return router.route_for_task(name, args, kwargs)
    return router(name, args, kwargs, options, task=task)


def _as_dict(route: Any) -> dict[str, Any]:
    return dict(route) if isinstance(route, Mapping) else {"queue": route}
