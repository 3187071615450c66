"""Two simulated months of the example, with 20 incidents, judged by the alert rules that operators get.

From the bottom up: :mod:`.scene` (when and where), :mod:`.course` (a series over time), :mod:`.jobs`
(what is analysed, by the history generator), :mod:`.month` (all that happens), :mod:`.normal` (what happens
though nothing is wrong), :mod:`.incidents` (what is wrong, and which alerts must follow),
:mod:`.process`, :mod:`.database` and :mod:`.programs` (the metrics of it), :mod:`.backfilled` (Prometheus
with these metrics), :mod:`.firing` (when an alert fires), :mod:`.verdict`.
"""
