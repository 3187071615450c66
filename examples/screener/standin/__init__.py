"""A local stand-in for the OpenAI service: same wire format, deterministic answers, and a ledger.

Start it with ``python -m examples.screener.standin --port 0``, or from Python::

    from examples.screener.standin.client import StandIn

    with StandIn() as standin:
        client = OpenAI(base_url=standin.url, api_key="any")
        ...
        print(standin.ledger()["totals"])

It serves chat and text completions, embeddings and responses, also below the paths of Azure::

    AzureOpenAI(azure_endpoint=standin.azure_endpoint, api_version="2024-10-21", api_key="any")

Answers depend on the request only, embeddings reflect the text, and usage is counted from the real text.
The ledger records every HTTP attempt and every billed token, and holds no text. Faults are set at start-up
(``--config faults.json``) or live (``PUT /_standin/faults``); `examples.screener.standin.faults` lists them.
"""
