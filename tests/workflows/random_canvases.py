"""Random canvases, and what they are worth by plain recursion: the rules, written once more."""

from django_tasks.workflows import Signature, chain, chord, group

from .tasks import fail, mix, tell

NOTHING = object()
FAILED = object()


class Canvases:
    """
    Makes canvases with a random generator.

    Generators of the same seed make the same shapes, of whosever classes and task are given.
    """

    def __init__(self, random, *, failures=False, empty=True, kinds=(chain, group, chord), mix=mix):
        self.make_chain, self.make_group, self.make_chord = kinds
        self.mix = mix
        self.random = random
        self.failures = failures
        self.fewest = 0 if empty else 2
        self.labels = 0

    def one(self, depth):
        kind = self.random.choice(
            ("signature", "chain", "group", "chord") if depth else ("signature",)
        )
        return getattr(self, kind)(depth - 1)

    def signature(self, depth):
        args = [self.random.randrange(100) for _ in range(self.random.randrange(3))]
        task = fail if self.failures and self.random.random() < 0.12 else self.mix
        made = task.si(*args) if self.random.random() < 0.25 else task.s(*args)
        options = self.callback(made)
        return made.using(**options) if options else made

    def chain(self, depth):
        members = self.members(depth)
        return self.make_chain(members, **self.callback(*members))

    def group(self, depth):
        members = self.members(depth)
        return self.make_group(members, **self.allowance(), **self.callback(*members))

    def chord(self, depth):
        header, body = self.members(depth), self.one(depth)
        return self.make_chord(header, body, **self.allowance(), **self.callback(body, *header))

    def members(self, depth):
        return [self.one(depth) for _ in range(self.random.randrange(self.fewest, 4))]

    def allowance(self):
        some = self.failures and self.random.random() < 0.5
        return {"allow_failures": self.random.choice((-1, 1, 2))} if some else {}

    def callback(self, *members):
        """Return an on_failure now and then; not for what has no step that could fail."""
        if not self.failures or self.random.random() < 0.6 or not any(map(signatures, members)):
            return {}
        self.labels += 1
        return {"on_failure": tell.s(label=str(self.labels))}


def signatures(canvas):
    """Return how many signatures are in a canvas, without callbacks."""
    if isinstance(canvas, Signature):
        return 1
    if isinstance(canvas, chord):
        return signatures(canvas.header) + signatures(canvas.body)
    return sum(map(signatures, canvas.members))


def value_of(canvas, told, given=NOTHING):
    """Return the value of a canvas, or FAILED; add the labels of callbacks that run to `told`."""
    if isinstance(canvas, Signature):
        value = _call(canvas, given)
    elif isinstance(canvas, chain):
        value = given
        for member in canvas.members:
            value = value_of(member, told, value)
        value = None if value is NOTHING else value
    elif isinstance(canvas, chord):
        value = value_of(canvas.body, told, value_of(canvas.header, told, given))
    else:
        values = [value_of(member, told, given) for member in canvas.members]
        succeeded = [value for value in values if value is not FAILED]
        lost = len(values) - len(succeeded)
        is_allowed = canvas.allow_failures == -1 or lost <= canvas.allow_failures
        value = succeeded if is_allowed and given is not FAILED else FAILED
    if value is FAILED and canvas.on_failure is not None:
        told.append(canvas.on_failure.kwargs["label"])
    return value


def _call(signature, given):
    if given is FAILED or signature.task == fail.module_path:
        return FAILED
    before = () if signature.immutable or given is NOTHING else (given,)
    return mix.call(*before, *signature.args)
