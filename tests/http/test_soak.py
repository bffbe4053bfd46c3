"""The property test of the streams, small: see tests/soak/soak.py and docs/internals.md."""

import os
import re
import subprocess
import sys
import unittest

from harness import ASAN, TOP, TestCase


class Soak(TestCase):
    def test_soak(self):
        """Half a minute of kills: no client sees anything but a contiguous run, or an exact gap."""
        out = subprocess.run(
            [sys.executable, os.path.join(TOP, "tests", "soak", "soak.py"), "--seconds", "36", "--clients", "30",
             "--meetings", "3", "--pause", "0.3", "1.2", "--quiet"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=400)
        self.assertEqual(out.returncode, 0, out.stdout)
        kills = re.search(r"kills with an event in flight: (\d+) of", out.stdout)
        resumes = re.search(r"resumes: \d+, of which (\d+) crossed a kill", out.stdout)
        self.assertTrue(kills and resumes, out.stdout)
        # Otherwise it proved nothing. A sanitizer build takes longer to come back.
        self.assertGreaterEqual(int(kills[1]), 3 if ASAN else 8, out.stdout)
        self.assertGreaterEqual(int(resumes[1]), 5 if ASAN else 15, out.stdout)


if __name__ == "__main__":
    unittest.main()
