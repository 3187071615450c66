"""The demo: one small and one large analysis of the sample documents, end to end, and a report of them.

``make demo`` runs it. It starts the stand-in, the screener and its worker as processes of their own,
uploads the samples as a person would, and holds against each other what SQL, the metrics and the ledger
of the stand-in say was spent.
"""
