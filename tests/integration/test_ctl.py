# SPDX-License-Identifier: Apache-2.0
"""What all verbs of cri-resolvectl share: pipes, a full disk, and what shells are told."""
import os
import re
import subprocess
import unittest

from tests.integration.harness import Ctl, Folder

AREAS = {"containerd", "kubelet", "crictl", "configuration", "mirrors", "store", "network"}
STATES = {"current", "moved", "older", "restart-needed", "gone", "unknown"}


class Program(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(Folder())
        cls.ctl = Ctl(cls.folder)

    def run_shell(self, *command, text):
        done = subprocess.run(command, input=text, capture_output=True, text=True, env={**os.environ, "HOME": str(self.ctl.home)},
                              timeout=30, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_without_a_verb(self):
        result = self.ctl.run()
        self.assertEqual((result.code, result.out), (64, ""))
        self.assertTrue(result.err.startswith("usage: cri-resolvectl VERB "))

    def test_nobody_reads(self):
        """It ends quietly, as if SIGPIPE had ended it."""
        near, far = os.pipe()
        os.close(near)
        run = subprocess.run(self.ctl.command("completion", "bash"), env=self.ctl.env, stdout=far, stderr=subprocess.PIPE,
                             text=True, timeout=30, check=False)
        os.close(far)
        self.assertEqual((run.returncode, run.stderr), (141, ""))

    def test_a_full_disk(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            run = subprocess.run(self.ctl.command("completion", "bash"), env=self.ctl.env, stdout=full, stderr=subprocess.PIPE,
                                 text=True, timeout=30, check=False)
        self.assertEqual((run.returncode, run.stderr),
                         (71, "cri-resolvectl completion: cannot write to standard output: No space left on device\n"))

    def script(self, shell):
        result = self.ctl.run("completion", shell)
        self.assertEqual((result.code, result.err), (0, ""))
        return result.out

    def bash(self, *words):
        """What bash offers for the last word."""
        quoted = " ".join(f"'{word}'" for word in ("cri-resolvectl", *words))
        return set(self.run_shell("bash", "--norc", text=(
            f"{self.script('bash')}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words)}\n_cri_resolvectl\n"
            'printf "%s\\n" "${COMPREPLY[@]}"\n')).split())

    def test_bash(self):
        verbs = {line.split()[0] for line in self.ctl.run("--help").out.split("Verbs:\n")[1].split("\n\n")[0].splitlines()
                 if line[2] != " "}
        self.assertLessEqual({"resolve", "completion", "help"}, verbs)
        self.assertEqual(self.bash(""), verbs)
        self.assertEqual(self.bash("--config", "x", "res"), {"resolve"})
        self.assertEqual(self.bash("--v"), {"--version"})
        self.assertEqual(self.bash("completion", ""), {"bash", "zsh", "fish"})
        self.assertEqual(self.bash("help", "resolv"), {"resolve"})
        self.assertEqual(self.bash("resolve", "-o", ""), {"table", "json"})
        self.assertEqual(self.bash("resolve", "--output", "=", "j"), {"json"})
        self.assertEqual(self.bash("resolve", "--output", "="), {"table", "json"})
        self.assertEqual(self.bash("resolve", "--a"), {"--all"})
        self.assertEqual(self.bash("resolve", "--credentials", ""), set())  # files are bash's own
        self.assertEqual(self.bash("resolve", ""), set())
        self.assertEqual(self.bash("check", "k"), {"kubelet"})
        self.assertEqual(self.bash("check", "kubelet", ""), AREAS)
        self.assertEqual(self.bash("drift", "--only", ""), STATES)

    def test_fish(self):
        def offered(line):
            return {offer.split("\t")[0] for offer in self.run_shell(
                "fish", "--no-config", text=f"{self.script('fish')}\ncomplete -C '{line}'\n").splitlines()}

        self.assertLessEqual({"resolve", "completion", "help"}, offered("cri-resolvectl "))
        self.assertEqual(offered("cri-resolvectl resolve --al"), {"--all"})
        self.assertEqual(offered("cri-resolvectl completion "), {"bash", "zsh", "fish"})
        self.assertEqual(offered("cri-resolvectl resolve -o "), {"table", "json"})
        self.assertEqual(offered("cri-resolvectl check "), AREAS)
        self.assertEqual(offered("cri-resolvectl drift --only "), STATES)

    def test_zsh(self):
        """zsh completes in its line editor only: a terminal is needed to see more than that it loads."""
        out = self.run_shell("zsh", "-f", text=(
            f"autoload -U compinit; compinit -u -D\n{self.script('zsh')}\nprint -- $_comps[cri-resolvectl]\n"
            "whence -w _cri_resolvectl\n"))
        for words in (AREAS, STATES):
            self.assertIn(words, [set(found.split()) for found in re.findall(r":\(([^()]*)\)'", self.script("zsh"))])
        self.assertEqual(out, "_cri_resolvectl\n_cri_resolvectl: function\n")


if __name__ == "__main__":
    unittest.main()
