# SPDX-License-Identifier: Apache-2.0
"""A broken resolve: a proxy in front of a registry that remembers answers to HEAD.

A daemon behind it is a daemon whose resolve is cached: what it learns was true once. The history
check must notice."""
import time

from tests.fake.gate import Gate


class StaleProxy(Gate):
    def __init__(self, upstream_url, keep_s):
        super().__init__(upstream_url)
        self.keep_s, self.cache, self.hits = keep_s, {}, 0

    def ask(self, method, path, headers):
        if method != "HEAD":
            return super().ask(method, path, headers)
        with self.lock:
            known = self.cache.get(path)
            if known and time.monotonic() - known[0] < self.keep_s:
                self.hits += 1
                return known[1]
        answer = super().ask(method, path, headers)
        with self.lock:
            self.cache[path] = (time.monotonic(), answer)
        return answer
