"""How soon the explorer page shows its first number, and what a redraw takes: `python benchmarks/page_speed.py [page.html]`.

A headless Chromium opens the page, then moves the context a hundred times, everything drawn each time, and says what its clock and the
renderer's processor time were. The page asks for 100 ms and 16 ms; wall times grow with the machine's load, which is printed.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from attometer.report.page import page

MOVES, ROUNDS = 100, 5
SCRIPT = """
<script>
(async () => {
  const data = document.documentElement.dataset, pause = () => new Promise((done) => setTimeout(done, 100));
  while (!data.ready) await pause();
  console.log(`AT ${window.name ? "again" : "new"} ${data.first} ${data.ready}`);
  if (!window.name) { window.name = "again"; location.reload(); return; }
  await pause();
  const top = [], whole = [];
  for (let k = 0; k < MOVES; k++) {
    const began = performance.now();
    change({ context: 1024 + 997 * k });
    top.push(+data.redraw);
    settle();
    whole.push(performance.now() - began);
    await new Promise((done) => setTimeout(done));
  }
  const middle = (list) => list.sort((a, b) => a - b)[list.length >> 1].toFixed(2);
  console.log(`AT done ${middle(top)} ${middle(whole)}`);
})();
</script>
"""


def main() -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        raise SystemExit("no Chromium here; Debian's package is called chromium")
    text = Path(sys.argv[1]).read_text(encoding="utf-8") if len(sys.argv) > 1 else page()
    rows = [_round(browser, text + SCRIPT.replace("MOVES", str(MOVES))) for _ in range(ROUNDS)]
    opened = [
        f"{what}, {when}"
        for when in ("new tab", "loaded again")
        for what in ("first number", "all ready", "renderer's CPU")
    ]
    names = (*opened, "redraw of the top", "redraw of all", "renderer's CPU a redraw")
    print(
        f"{len(text.encode()):,} bytes; ms, medians of {ROUNDS}, least and most; load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores"
    )
    for name, found in zip(names, zip(*rows, strict=True), strict=True):
        print(f"{name:30} {statistics.median(found):7.1f}   {min(found):.1f} to {max(found):.1f}")


def _round(browser: str, text: str) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        file.write_text(text, encoding="utf-8")
        asked = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--remote-debugging-port=0"]
        command = [browser, *asked, f"--user-data-dir={folder}/profile", file.as_uri()]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
            try:
                found: dict[str, list[float]] = {}
                used = []
                for name, figures in _said(running.stderr):
                    found[name] = figures
                    used.append(_renderers(running.pid))
                    if name == "done":
                        cpu = [1e3 * (after - before) for before, after in zip([0.0, *used], used, strict=False)]
                        return [*found["new"], cpu[0], *found["again"], cpu[1], *found["done"], cpu[2] / MOVES]
            finally:
                running.terminate()
    raise SystemExit("the browser left before the page was measured")


def _said(lines: Iterator[str] | None) -> Iterator[tuple[str, list[float]]]:
    for line in lines or ():
        if "CONSOLE" in line and '"AT ' in line:
            name, *figures = line.split('"')[1].split()[1:]
            yield name, list(map(float, figures))


def _renderers(browser: int) -> float:
    """Return the seconds of processor that the renderers under a browser have used (Linux)."""
    parents, spent = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            own = "--type=renderer" in (folder / "cmdline").read_text()
        except OSError:  # it has ended
            continue
        parents[int(folder.name)] = int(fields[1])
        if own:
            spent[int(folder.name)] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def under(process: int) -> bool:
        return process == browser or (process in parents and under(parents[process]))

    return sum(seconds for process, seconds in spent.items() if under(process))


if __name__ == "__main__":
    main()
