"""The suites' plugin, in the tree as in the wheel."""

pytest_plugins = ["tract_ref_suites.plugin"]
