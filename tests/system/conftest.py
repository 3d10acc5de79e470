"""Scripts are run in processes of their own, never imported in search of doctests."""

collect_ignore = ["scripts", "repeat_fork_check.py"]
