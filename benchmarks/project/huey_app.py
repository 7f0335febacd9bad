from __future__ import annotations

import os

from huey import RedisHuey

from benchmarks import bodies

huey = RedisHuey("benchmarks", url=os.environ["BENCH_REDIS_URL"] + "/11", store_none=True)
noop = huey.task()(bodies.noop)
stamp = huey.task()(bodies.stamp)
nap = huey.task()(bodies.nap)
