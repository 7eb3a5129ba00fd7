"""The team: task, problem tree, roles, workflow, selection, `solve`."""
