"""Studies: specs, plans, the runner, run folders, and results over replicates."""

from __future__ import annotations

from tombola.study.bind import bind
from tombola.study.compared import compared
from tombola.study.comparison import Comparison, compare_runs
from tombola.study.connection import (
    CONNECTION_VALUES,
    Connection,
    connect_run,
    connection_estimates,
    connections_of,
    is_stable,
)
from tombola.study.contrast import contrasts
from tombola.study.deciding import VERDICTS, Verdict
from tombola.study.dense import shares_dense
from tombola.study.diff import diff_many, diff_results, diff_specs
from tombola.study.estimate import Estimate, estimate_time
from tombola.study.expect import Checked, Expectation
from tombola.study.finding import all_runs, all_sweeps, find, find_run, find_runs, open_ticket
from tombola.study.hypotheses import Hypothesis
from tombola.study.load import load_study, load_sweep, parse_study, parse_sweep, presets
from tombola.study.machine import pick_device, prepare
from tombola.study.matching import Matching, sparsest_match
from tombola.study.pairing import DEFAULT_KINDS, KINDS
from tombola.study.plan import Plan, make_plan, planned_cells
from tombola.study.probing import probing
from tombola.study.progress import Progress
from tombola.study.prospect import Prospect, prospects
from tombola.study.pruning import Pruning
from tombola.study.registration import Registration
from tombola.study.results import Claim, claims, expectations, histories, results, summary, with_interval
from tombola.study.runner import run
from tombola.study.siblings import say_of_siblings
from tombola.study.spec import ArmSpec, StoreSpec, Study
from tombola.study.standing import missing, require_whole
from tombola.study.stops import AT_END, ends_in_words
from tombola.study.store import Run
from tombola.study.sweep import Member, Sweep, label_of
from tombola.study.sweep_run import SweepRun, bound, run_sweep, sweep_results
from tombola.study.title import title_of
from tombola.study.trackers import TRACKERS
from tombola.study.verdicts import Verdicts, verdicts, write_verdicts

__all__ = [
    "AT_END",
    "CONNECTION_VALUES",
    "DEFAULT_KINDS",
    "KINDS",
    "TRACKERS",
    "VERDICTS",
    "ArmSpec",
    "Checked",
    "Claim",
    "Comparison",
    "Connection",
    "Estimate",
    "Expectation",
    "Hypothesis",
    "Matching",
    "Member",
    "Plan",
    "Progress",
    "Prospect",
    "Pruning",
    "Registration",
    "Run",
    "StoreSpec",
    "Study",
    "Sweep",
    "SweepRun",
    "Verdict",
    "Verdicts",
    "all_runs",
    "all_sweeps",
    "bind",
    "bound",
    "claims",
    "compare_runs",
    "compared",
    "connect_run",
    "connection_estimates",
    "connections_of",
    "contrasts",
    "diff_many",
    "diff_results",
    "diff_specs",
    "ends_in_words",
    "estimate_time",
    "expectations",
    "find",
    "find_run",
    "find_runs",
    "histories",
    "is_stable",
    "label_of",
    "load_study",
    "load_sweep",
    "make_plan",
    "missing",
    "open_ticket",
    "parse_study",
    "parse_sweep",
    "pick_device",
    "planned_cells",
    "prepare",
    "presets",
    "probing",
    "prospects",
    "require_whole",
    "results",
    "run",
    "run_sweep",
    "say_of_siblings",
    "shares_dense",
    "sparsest_match",
    "summary",
    "sweep_results",
    "title_of",
    "verdicts",
    "with_interval",
    "write_verdicts",
]
