"""A test server for authors of plug-ins: the OpenAI protocol on a real socket, with faults.

    async with ChatServer(reply=lambda request: "42") as server:
        backend = OpenAI(server.model, base_url=server.base_url)

`python -m cat_bench.testing` runs the same server in a separate process. Requests come in; replies
and injected faults go out. A reply depends on its messages and seed only, a fault on the server's
seed and the request's number.
"""

from cat_bench.testing.faults import FAULTS, Fault, Faults
from cat_bench.testing.protocol import ChatRequest, babble
from cat_bench.testing.server import ChatServer, Stats

__all__ = ["FAULTS", "ChatRequest", "ChatServer", "Fault", "Faults", "Stats", "babble"]
