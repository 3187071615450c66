"""The demo: one small and one large analysis of the sample documents, end to end, and a report of them.

``make demo`` runs it. It starts the stand-in, the screener and its worker as processes, uploads the samples
as a person would, and compares the spending in SQL, in the metrics and in the stand-in's ledger.
"""
