#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The story that this project is about, told on real parts. Started by `./dev demo`."""
import os
import pathlib
import signal
import sys
import textwrap

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)

from tests.integration.harness import (Containerd, Crictl, Daemon, Folder, Forwarder, Images,  # noqa: E402
                                       Registry, run_pod)
from tests.integration.harness.isolate import only_loopback  # noqa: E402
from tests.integration.harness.sweep import processes_of  # noqa: E402

IMAGE = "ghcr.io/shop/web:stable"
REPO, TAG = "shop/web", "stable"
COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
ONE, TWO = "I am version 1", "I am version 2"


class WrongEnd(Exception):
    """The story did not go as it is told."""


def styled(text, code):
    return f"\033[{code}m{text}\033[0m" if COLOUR else text


class Teller:
    """Prints steps, explanations, commands and their true output."""

    def __init__(self):
        self.number = 0

    def step(self, title):
        self.number += 1
        print(f"\n{styled(f'{self.number}. {title}', '1')}", flush=True)

    @staticmethod
    def say(text):
        print(textwrap.fill(" ".join(text.split()), 96, initial_indent="   ", subsequent_indent="   "), flush=True)

    @staticmethod
    def command(line):
        print(styled(f"   $ {line}", "36"), flush=True)

    @staticmethod
    def output(text):
        for line in text.strip().splitlines():
            print(f"     {line}", flush=True)


def pull_and_run(tell, crictl, expected):
    """What kubelet does with imagePullPolicy: Always, told command by command."""
    tell.command(f"crictl pull {IMAGE}")
    tell.output(crictl("pull", IMAGE))
    tell.command("crictl runp pod.json; crictl create ...; crictl start ...; crictl logs ...")
    printed = run_pod(crictl, IMAGE).strip()
    tell.output(printed)
    if printed != expected:
        raise WrongEnd(f"the pod printed {printed!r}, and not {expected!r}")


def push(tell, images, upstream, marker):
    tell.command(f"skopeo copy oci:web docker://{upstream.host}/{REPO}:{TAG}")
    digest = images.push(upstream, REPO, TAG, marker)
    tell.say(f"{IMAGE} is {digest[:19]}... now; its container prints: {marker}")
    return digest


def show_file(tell, path, folder):
    tell.command(f"cat {path.relative_to(folder.path)}")
    tell.output("\n".join(line for line in path.read_text().splitlines() if line))


def last_pull(log):
    lines = [line for line in log.splitlines() if IMAGE in line]
    return lines[-1] if lines else "(no line about it)"


def containerd_alone(tell, parts):
    folder, images, upstream, line, cache, containerd = parts
    direct = Crictl(folder, containerd.socket)
    tell.step("Version 1 is published")
    push(tell, images, upstream, ONE)

    tell.step("A node runs it: containerd, with a pull-through cache as the mirror of ghcr.io")
    tell.say("That is the usual set-up of a cluster: a registry in cache mode near the nodes, and this file:")
    show_file(tell, containerd.certs / "ghcr.io/hosts.toml", folder)
    pull_and_run(tell, direct, ONE)
    tell.say(f"The cache has the tag now. It was asked {cache.count('HEAD', REPO, TAG)} time(s) for it.")

    tell.step("Version 2 is published under the same tag")
    two = push(tell, images, upstream, TWO)

    tell.step("The line from the cache to ghcr.io breaks")
    tell.say("An expired password, a full quota or a firewall rule would do as well. The nodes' own way to ghcr.io is fine.")
    line.cut()

    tell.step("containerd alone: the pod is started again, with imagePullPolicy: Always")
    before = cache.count("HEAD", REPO, TAG)
    pull_and_run(tell, direct, ONE)
    tell.say(f"""The pull went to the cache ({cache.count('HEAD', REPO, TAG) - before} HEAD), which could not ask ghcr.io
        and handed out the tag as it remembered it. No error anywhere, the answer was OK, and the old version runs.""")
    return two


def through_us(tell, parts, two):
    folder, _, upstream, _, cache, containerd = parts
    tell.step("The same through cri-resolved")
    tell.say("""It stands between kubelet (here: crictl) and containerd. It asks the true ghcr.io what the tag is, has
        containerd pull exactly that digest, and points the tag at it. The cache stays broken, containerd is not
        reconfigured. The whole configuration:""")
    with Daemon(folder, containerd, upstreams={"ghcr.io": upstream.url}, name="cri-resolved") as daemon:
        show_file(tell, daemon.config, folder)
        pull_and_run(tell, Crictl(folder, containerd.socket, image_socket=daemon.socket), TWO)
        tell.say("What cri-resolved says about that pull:")
        tell.output(last_pull(daemon.log()))
        tell.command(f"crictl inspecti {IMAGE} | jq -r .status.repoDigests[]")
        digests = Crictl(folder, daemon.socket).image(IMAGE)["repoDigests"]
        tell.output("\n".join(digests))
        if f"ghcr.io/{REPO}@{two}" not in digests:
            raise WrongEnd(f"the tag does not name {two}")
    tell.say(f"The cache itself still says {cache.digest(REPO, TAG)[:19]}..., ghcr.io says {two[:19]}...")


def story(tell, folder):
    with Registry(folder, name="ghcr.io") as upstream, Forwarder(upstream.port) as line, \
            Registry(folder, proxy=line.url, name="cache") as cache, \
            Containerd(folder, "1.6", upstreams={"ghcr.io": upstream.url}, mirrors={"ghcr.io": cache.url}) as containerd:
        containerd.push_pause()
        parts = folder, Images(folder), upstream, line, cache, containerd
        print(f"All of this is real and stays on this machine, in {folder.path} and on 127.0.0.1:")
        version = containerd.call("/runtime.v1.RuntimeService/Version")
        print(f"   ghcr.io      a docker-registry, {upstream.url}")
        print(f"   the cache    a docker-registry in cache mode, {cache.url}, in front of ghcr.io")
        print(f"   containerd   {version.text(3)}, with runc; crictl in the place of kubelet")
        through_us(tell, parts, containerd_alone(tell, parts))


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    only_loopback()
    print(styled("A tag has moved, and the node does not notice", "1"))
    tell = Teller()
    with Folder() as folder:
        story(tell, folder)
        left = processes_of(folder.path)
    if left or folder.path.exists():
        raise WrongEnd(f"left behind: {left} {folder.path}")
    print(f"\n{styled('That is all.', '1')} No process and no file is left behind. Read on:")
    print("   README.md          what it does and how to put it on a node")
    print("   docs/design.md     the promise, and how it is kept")
    print("   ./dev test         the same and much more, checked on containerd 1.6, 1.7 and 2.x")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (WrongEnd, AssertionError) as error:
        sys.exit(f"\nThe demo did not end as it should: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
