"""Which volumes to annotate next."""

from .rank_next import LeftOut, NextCases, NextSettings, next_report, rank_next

__all__ = ["LeftOut", "NextCases", "NextSettings", "next_report", "rank_next"]
