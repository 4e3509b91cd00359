"""What is sampled of the gateway while a soak runs, and what is made of it."""

import csv
import os
import pathlib
import statistics
import time

COLUMNS = [
    "seconds", "phase", "rss_mb", "anonymous_mb", "threads", "fds", "client_connections", "upstream_connections", "journal_segments", "journal_files", "journal_mb",
    "store_mb", "cpu_seconds", "calls_made",
]  # fmt: skip


def _folder_bytes(folder, pattern):
    total = count = 0
    for path in pathlib.Path(folder).glob(pattern):
        try:
            total += path.stat().st_size
            count += 1
        except FileNotFoundError:
            pass
    return total, count


class Sampler:
    """Reads /proc, the data directory and /metrics of a gateway; one line of a CSV each time."""

    def __init__(self, gateway, path, calls_made):
        self.gateway = gateway
        self.process = pathlib.Path(f"/proc/{gateway.process.pid}")
        self.calls_made = calls_made
        self.began = time.monotonic()
        self.rows = []
        self.file = open(path, "w", newline="", encoding="utf-8")
        self.writer = csv.DictWriter(self.file, COLUMNS)
        self.writer.writeheader()

    def metric(self, name):
        """The sum over all labels of a metric."""
        text = self.gateway.request("GET", "/metrics", key=self.gateway.admin_key).body.decode()
        values = [float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith((name + " ", name + "{"))]
        assert values, f"there is no metric {name}"
        return sum(values)

    def descriptors(self):
        """What the process has open, by what it points to."""
        found = []
        for entry in os.scandir(self.process / "fd"):
            try:
                found.append(os.readlink(entry.path))
            except FileNotFoundError:
                pass
        return sorted(found)

    def _anonymous_bytes(self):
        line = next(line for line in (self.process / "status").read_text().splitlines() if line.startswith("RssAnon:"))
        return int(line.split()[1]) * 1024

    def sample(self, phase):
        data = self.gateway.directory / "data"
        journal_bytes, journal_files = _folder_bytes(data / "journal", "*")
        store_bytes, _ = _folder_bytes(data, "*.db*")
        fields = (self.process / "stat").read_text().rsplit(")", 1)[1].split()
        row = {
            "seconds": round(time.monotonic() - self.began, 1),
            "phase": phase,
            "rss_mb": round(int((self.process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6, 2),
            # Without the pages of the binary and its libraries, which are read as they are needed.
            "anonymous_mb": round(self._anonymous_bytes() / 1e6, 2),
            "threads": int(fields[17]),
            "fds": len(self.descriptors()),
            # The one that asks is not counted.
            "client_connections": int(self.metric("martlet_connections")) - 1,
            "upstream_connections": int(self.metric("martlet_upstream_connections")),
            "journal_segments": int(self.metric("martlet_journal_segments")),
            "journal_files": journal_files,
            "journal_mb": round(journal_bytes / 1e6, 2),
            "store_mb": round(store_bytes / 1e6, 2),
            "cpu_seconds": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
            "calls_made": self.calls_made(),
        }
        self.rows.append(row)
        self.writer.writerow(row)
        self.file.flush()
        return row

    def close(self):
        self.file.close()


def slope_per_hour(rows, column):
    """How fast a column grows: the median of the slopes between the thirds' points (Theil and Sen), so that single peaks do not count."""
    points = [(row["seconds"] / 3600, row[column]) for row in rows]
    if len(points) > 400:
        points = points[:: len(points) // 400 + 1]
    slopes = [(y2 - y1) / (x2 - x1) for i, (x1, y1) in enumerate(points) for x2, y2 in points[i + 1 :] if x2 > x1]
    return statistics.median(slopes) if slopes else 0.0
