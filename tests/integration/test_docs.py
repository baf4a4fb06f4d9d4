# SPDX-License-Identifier: Apache-2.0
"""What the pages show, done: their commands run on booted nodes in the order in which they stand, what they
print is compared, their configurations are checked. tests/pages.py says how a page marks its blocks."""
import contextlib
import re
import unittest

from tests import pages
from tests.integration.harness import Content, Folder, Images, wait_until
from tests.integration.harness.daemon import binary
from tests.integration.node import Node, World

CONTAINERDS = ("1.7",)  # and 2 for one page
TIMEOUT_S = 900

SIZES = (3000, 400_000)
RUNNABLE = ("ghcr.io", "shop/app", "1")
IMAGES = (RUNNABLE, ("ghcr.io", "team/app", "stable"), ("ghcr.io", "team/app", "v1"),
          ("registry-1.docker.io", "library/nginx", "1.27"))

# Each of these on a node where nothing is installed but the package; all others on one that is in use.
FRESH = ("README.md", "docs/install.md")
# Needs a containerd that names images as pods do.
NRI = "docs/nri.md"
CONFIG = """[upstream."ghcr.io"]
mirrors = ["http://10.0.20.10:5010"]
[upstream."docker.io"]
mirrors = ["http://10.0.20.10:5000"]
[nri]
enabled = true
"""
RUN_POD = "crictl run --no-pull /root/app.json /root/pod.json"
CONTAINERS = "curl -s --unix-socket /run/cri-resolved/admin.sock http://localhost/v1/containers"


def image(host, repo, tag):
    return f"{host.replace('registry-1.', '')}/{repo.replace('library/', '')}:{tag}"


def path_of(block):
    return next((label for label in block.labels if label.startswith("/")), None)


def write_block(node, block, path):
    (node.write_pod if "pod" in block.labels else node.write)(path, block.text)


def is_connected(node):
    return '"connected": true' in node.must(CONTAINERS)


class Case(unittest.TestCase):
    RUNS = {"node"}  # whose blocks: those without another suite's label are the node's
    ANSWER = ""  # of the administrator, to what a command asks

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.world = cls.enterClassContext(World(cls.folder))
        for host, repo, tag in set(IMAGES) - {RUNNABLE}:
            Content(f"{repo} {tag}", SIZES).push(cls.world.upstreams[host], repo, tag)
        images = Images(cls.folder)
        images.push(cls.world.upstreams[RUNNABLE[0]], *RUNNABLE[1:], "a shop")
        images.push_pause(cls.world.upstreams["registry.k8s.io"])

    def boot(self, **more):
        self.node = self.enterContext(Node(self.folder, self.world, **more))
        self.node.prepare()
        self.install()
        self.node.files_of_the_pages()
        self.addCleanup(self.check_journal)
        return self.node

    def install(self):
        self.node.install()

    def check_journal(self):
        """The daemon never crashed, whatever the page did with it."""
        log = self.node.machine.journal("cri-resolved")
        self.assertNotRegex(log, r"(Main process exited, code=(dumped|killed)|Failed with result|Sanitizer)")

    def play(self, page):
        """All blocks of a page, one after the other."""
        ran = 0
        for block in pages.blocks(page):
            path = path_of(block)
            if block.language == "console" and pages.suite(block) in self.RUNS:
                for command in pages.commands(block):
                    self.do(command)
                    ran += 1
            elif path:
                write_block(self.node, block, path)
            elif block.language == "toml" and not block.labels:
                self.check_toml(block)
        return ran

    def do(self, command):
        done = self.log_of(command) if command.text.startswith("journalctl") else self.node.run(command.text, stdin=self.ANSWER)
        where = f"{command.page}:{command.line}: {command.text}"
        self.assertEqual(done.code, command.code, f"{where}\nended with {done.code}:\n{done.out}{self.log_end()}")
        if command.output:
            self.assertTrue(pages.agrees(command.output, done.out),
                            f"{where}\nis shown with\n{command.output}\nand printed\n{done.out}")

    def log_of(self, command):
        """A line may be written a moment after what it tells of."""
        tries = []

        def told():
            tries.append(self.node.run(command.text))
            return tries[-1].code == command.code and pages.agrees(command.output, tries[-1].out)
        with contextlib.suppress(AssertionError):  # then the last try is judged as any other command is
            wait_until(told, command.text, timeout_s=10)
        return tries[-1]

    def log_end(self):
        return "\n--- journal\n" + self.node.run("journalctl --no-pager -n 30").out

    def check_toml(self, block):
        self.node.write("/root/page.toml", block.text)
        done = self.node.run("cri-resolved --config /root/page.toml --check")
        self.assertEqual(done.code, 0, f"{block.page}:{block.line}: {done.out}")


class FreshNodes(Case):
    """From the package to a kubelet that asks, as a newcomer does it."""

    def test_readme(self):
        self.boot()
        self.assertGreater(self.play("README.md"), 3)

    def test_install(self):
        self.boot()
        self.assertGreater(self.play("docs/install.md"), 15)
        left = self.node.run("systemctl is-active cri-resolved.service cri-resolved{,-admin,-relay}.socket").out
        self.assertEqual(left.split(), ["inactive"] * 4)
        self.assertEqual(self.node.must("systemctl show kubelet -P ActiveState"), "active\n")
        self.assertIn("HTTPS_PROXY=http://10.0.20.9:3128", self.node.must("systemctl show cri-resolved -P Environment"))
        self.assertEqual(self.node.must("cat /etc/default/kubelet"), 'KUBELET_EXTRA_ARGS="--node-ip=10.0.20.30"\n',
                         "the administrator's own flags stay")

    def test_a_configuration_that_comes_after_the_start(self):
        """As the pages promise: the default file counts at a reload, whether or not it was there before."""
        node = self.boot()
        node.must("rm /etc/cri-resolved/config.toml && systemctl enable --now cri-resolved.socket cri-resolved.service")
        node.write("/etc/cri-resolved/config.toml", CONFIG)
        node.must("systemctl reload cri-resolved")
        wait_until(lambda: "configuration reloaded file=/etc/cri-resolved/config.toml" in
                   node.machine.journal("cri-resolved"), "the reload")
        node.must("cri-resolvectl pull ghcr.io/shop/app:1")
        self.assertRegex(node.machine.journal("cri-resolved"), "reference=ghcr.io/shop/app:1 .*source=relay")


class NodeInUse(Case):
    """All other pages, on one node after the other's commands: none of them breaks it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.node = node = cls.enterClassContext(Node(cls.folder, cls.world))
        node.prepare()
        node.install()
        node.files_of_the_pages()
        cls.give_nri()
        node.write("/etc/cri-resolved/config.toml", CONFIG)
        node.must("systemctl enable --now cri-resolved.socket cri-resolved.service")
        node.must("cri-resolvectl render kubelet --write && cri-resolvectl render hosts --write && "
                  "cri-resolvectl render crictl --write && systemctl restart kubelet")
        for one in IMAGES:
            node.must(f"cri-resolvectl pull {image(*one)}")
        wait_until(lambda: is_connected(node), "NRI is connected")
        node.must(RUN_POD)
        assert '"pod": "app-0"' in node.must(CONTAINERS)  # what is shown of a container is compared with one

    @classmethod
    def give_nri(cls):
        """As the page about it says; and a pod to tell of."""
        for block in pages.blocks(NRI):
            if "containerd" in block.labels:
                config = cls.node.must("cat /etc/containerd/config.toml")
                cls.node.write("/etc/containerd/config.toml", config + block.text)
            elif block.language == "json":
                write_block(cls.node, block, path_of(block))
        cls.node.must("systemctl restart containerd")

    def setUp(self):
        self.addCleanup(self.check_journal)
        if self.node.must("cat /etc/cri-resolved/config.toml") != CONFIG:  # an earlier page's
            self.node.write("/etc/cri-resolved/config.toml", CONFIG)
            self.node.must("systemctl reload cri-resolved")


class Containers(Case):
    """NRI, on a node whose containerd serves it by itself."""

    def do(self, command):
        super().do(command)
        if command.text == "systemctl restart cri-resolved":
            wait_until(lambda: is_connected(self.node), "NRI is connected")

    def test_nri(self):
        node = self.boot(containerd="2")
        node.must("systemctl enable --now cri-resolved.socket cri-resolved.service && cri-resolvectl render crictl --write")
        self.assertGreater(self.play(NRI), 10)


class ManualPages(Case):
    """The examples of the verbs' help, which the manual page has, too."""

    MANIFEST = "kind: Pod\nspec:\n  containers:\n  - image: ghcr.io/team/app:stable\n"
    OTHERS = {"pass": "echo user:password", "kustomize": f"printf '{MANIFEST}'".replace("\n", "\\n"), "kubectl": "cat >/dev/null"}

    def setUp(self):
        node = self.boot()
        for name, line in self.OTHERS.items():  # programs of others, of which the examples are not about
            node.write(f"/usr/local/bin/{name}", f"#!/bin/sh\n{line}\n", 0o755)
        node.write("/root/deploy/app.yaml", self.MANIFEST)
        node.write("/root/main.tf", 'image = "ghcr.io/team/app:stable"\n')
        node.write("/root/.docker/config.json", "{}")
        node.write("/etc/cri-resolved/config.toml", CONFIG)
        node.must("systemctl enable --now cri-resolved.socket cri-resolved.service")

    def examples(self):
        text = binary().parent.joinpath("man/cri-resolvectl.1.md").read_text()
        blocks = pages.blocks("cri-resolvectl.1", text)
        return [line for block in blocks for line in block.text.splitlines() if "cri-resolvectl" in line]

    def run_example(self, line):
        shell = next((shell for shell in ("fish", "zsh") if f"completion {shell}" in line), None)
        if shell is None:
            return self.node.run(line)
        begin = "autoload -Uz compinit; compinit; " if shell == "zsh" else ""
        self.node.write("/root/example", begin + line + "\n")
        return self.node.run(f"{shell} /root/example")

    def test_examples(self):
        """Each ends with 0, or with 1: something to report."""
        lines = self.examples()
        self.assertGreater(len(lines), 20)
        for line in lines:
            with self.subTest(line):
                done = self.run_example(line)
                self.assertIn(done.code, (0, 1), done.out)
        self.assertIn("ghcr.io/team/app:stable@sha256:", self.node.must("cat /root/deploy/app.yaml"))


def add_page(page):
    def test(self):
        self.play(page)
    name = re.sub(r"\W+", "_", str(page.with_suffix("")).removeprefix("docs/"))
    setattr(NodeInUse, f"test_{name}", test)


for one_page in pages.pages():
    if str(one_page) not in (*FRESH, NRI) and any(block.language == "console" or block.language == "toml"
                                          for block in pages.blocks(one_page)):
        add_page(one_page)


if __name__ == "__main__":
    unittest.main()
