"""`ssamba bench`: how long things take and how much memory, beside their peers and their floors, in one run.

A *case* is one thing to measure (case.py). Each runs in a process of its own (isolation.py), which builds its *work*
(workloads.py, from networks.py, scans.py, clips.py and peers/) and times it. What came of it is a *row* of the results
(results.py), which report.py and charts.py show.
"""
