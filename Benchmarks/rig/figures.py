"""Medians, their intervals, and requirements with their verdicts."""

import dataclasses
import math
import statistics


def median_interval(values):
    """The order-statistic interval of the median with at least 95 % coverage (or all there is), and its coverage."""
    ordered = sorted(values)
    count = len(ordered)
    best = (ordered[0], ordered[-1], 1 - 2 * 0.5**count if count > 1 else 0.0)
    for low in range(1, count // 2):
        coverage = 1 - 2 * sum(math.comb(count, below) for below in range(low + 1)) * 0.5**count
        if coverage < 0.95:
            break
        best = (ordered[low], ordered[-1 - low], coverage)
    return best


def spread(values, digits=1):
    """`median (least–most)`."""
    if not values:
        return "–"
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def digits_of(value):
    return 0 if abs(value) >= 1000 or value == int(value) else 1 if abs(value) >= 20 else 2


@dataclasses.dataclass
class Requirement:
    """A figure, what it must be, and what it was in each round."""

    part: str
    what: str
    values: list
    relation: str  # "<=", ">=" or "<"
    limit: float
    unit: str = ""
    note: str = ""

    @property
    def median(self):
        return statistics.median(self.values)

    @property
    def interval(self):
        return median_interval(self.values)

    @property
    def verdict(self):
        """A figure fails only when its whole interval is on the wrong side; between the two nothing is proven."""
        low, high, _ = self.interval
        if self.relation == ">=":
            return "pass" if self.median >= self.limit else "FAIL" if high < self.limit else "within noise"
        holds = self.median < self.limit if self.relation == "<" else self.median <= self.limit
        fails = low >= self.limit if self.relation == "<" else low > self.limit
        return "pass" if holds else "FAIL" if fails else "within noise"

    def row(self):
        low, high, coverage = self.interval
        digits = max(digits_of(self.median), 0)
        value = f"{self.median:.{digits}f}{self.unit and ' ' + self.unit}"
        within = "" if len(self.values) == 1 else f"{low:.{digits}f}–{high:.{digits}f}" + ("" if coverage >= 0.95 else f" ({100 * coverage:.0f} %)")
        relation = {"<=": "≤", ">=": "≥", "<": "<"}[self.relation]
        return [self.part, self.what, value, within, f"{relation} {self.limit:.{digits_of(self.limit)}f}{self.unit and ' ' + self.unit}", self.verdict]

    def as_json(self):
        low, high, coverage = self.interval
        return {
            "part": self.part, "what": self.what, "median": self.median, "low": low, "high": high, "coverage": coverage, "rounds": self.values,
            "relation": self.relation, "limit": self.limit, "unit": self.unit, "verdict": self.verdict,
        }  # fmt: skip


def table(rows, head):
    """A Markdown table that a terminal shows aligned too."""
    widths = [max(len(str(row[column])) for row in [head, *rows]) for column in range(len(head))]
    lines = ["| " + " | ".join(str(cell).ljust(width) for cell, width in zip(head, widths)) + " |"]
    lines.append("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    lines += ["| " + " | ".join(str(cell).ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
    return "\n".join(lines)
