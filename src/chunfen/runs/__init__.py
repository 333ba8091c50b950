"""Run folders: what was asked, what happened, what came out; found, compared and repeated later."""

from chunfen.runs.find import find_run, list_runs, newest_unfinished
from chunfen.runs.run import Progress, Run, Status
from chunfen.runs.stage import Stage

__all__ = ["Progress", "Run", "Stage", "Status", "find_run", "list_runs", "newest_unfinished"]
