"""Read what is billed: which requests may cost money, and what an answer says about its tokens.

How each field of a usage is treated is in :mod:`.fields`; which endpoints cost money in :mod:`.endpoints`.
"""
