"""Studies as data: specs, presets, sweeps, claims and plans. Nothing here trains or touches a run."""
