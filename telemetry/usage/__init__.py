"""Determine what is billed: which requests may cost money, and which tokens an answer reports.

:mod:`.fields` defines how each field of a usage is treated, and :mod:`.endpoints` which requests cost money.
"""
