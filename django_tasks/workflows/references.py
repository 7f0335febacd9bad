"""What stands in arguments for values that are not there yet."""

from __future__ import annotations

from typing import Any

from .. import serializers
from .plan import Gather, Ref
from .steps import Step, StepResult


class Values(dict[Step[Any], Any]):
    """The values of the steps of one workflow, as references."""

    #: Whether lists leave out the values of steps that fail.
    skip_failed = False

    def fill(self, value: Any, where: str) -> Any:
        """
        Return arguments as JSON, with references where results of steps stand.

        Raise TypeError or ValueError for what JSON does not have.
        """
        if not _has_results(value):
            return serializers.normalized(value, where)
        if isinstance(value, StepResult):
            return self._reference(value)
        if isinstance(value, dict):
            return {
                _text(key, where): self.fill(inner, f"{where}.{key}")
                for key, inner in value.items()
            }
        items = [self.fill(v, f"{where}[{i}]") for i, v in enumerate(value)]
        leaves_out = self.skip_failed and any(isinstance(item, (Ref, Gather)) for item in items)
        return Gather(tuple(items), skip_failed=True) if leaves_out else items

    def _reference(self, result: StepResult) -> Any:
        if result.step not in self:
            raise ValueError(
                f"{result!r} is of {result.step.workflow!r}: only steps of the same workflow know"
                " it."
            )
        try:
            return part_of(self[result.step], result.path)
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"{result!r}: {error.args[0]}") from None


def part_of(value: Any, path: tuple[str | int, ...]) -> Any:
    """
    Return what stands for a part of a value.

    Raise KeyError, IndexError or TypeError if it is known already that there is no such part.
    """
    for index, key in enumerate(path):
        if isinstance(value, Ref):
            return Ref(value.step, value.path + path[index:])
        if isinstance(value, Gather):
            value = value.items
        if isinstance(value, dict):
            if key not in value:
                raise KeyError(f"there is no {key!r}; there are: {', '.join(value)}.")
        elif not isinstance(key, int):
            raise TypeError(f"it is a list, which has no {key!r}.")
        elif not -len(value) <= key < len(value):
            raise IndexError(f"it is a list of {len(value)}, which has no [{key}].")
        value = value[key]
    return value


def _has_results(value: Any) -> bool:
    if isinstance(value, StepResult):
        return True
    if isinstance(value, dict):
        return any(map(_has_results, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_has_results, value))


def _text(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key of {where} is of type {type(key).__qualname__}; it must be text.")
    return key
