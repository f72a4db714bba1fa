"""What verifiers loads: a taskset of small sums, and a harness that asks once."""

import re

import httpx
import verifiers.v1 as vf
from replies import SUMS


class Data(vf.TaskData):
    answer: str = ""


class Sum(vf.Task[Data]):
    @vf.reward(weight=1.0)
    async def correct(self, trace: vf.Trace) -> float:
        found = re.findall(r"boxed\{(\d+)\}", trace.last_reply)
        return float(bool(found) and found[-1] == self.data.answer)


class TasksetConfig(vf.TasksetConfig):
    pass


class SumsTaskset(vf.Taskset[Sum, TasksetConfig]):
    def load(self) -> list[Sum]:
        return [
            Sum(Data(idx=i, prompt=f"What is {a} + {b}?", answer=str(a + b)), self.config.task)
            for i, (a, b) in enumerate(SUMS)
        ]


class AskConfig(vf.HarnessConfig):
    pass


class Ask(vf.Harness[AskConfig]):
    """One request, made here: verifiers' own harnesses start a program for each rollout."""

    EXECUTES_CODE = False
    NEEDS_CONTAINER = False

    async def launch(
        self, ctx, trace, runtime, endpoint, secret, mcp_urls, data, tool_interception_url=None
    ):
        body = {"model": ctx.model, "messages": [{"role": "user", "content": data.prompt}]}
        headers = {"Authorization": f"Bearer {secret}"}
        async with httpx.AsyncClient(headers=headers, timeout=60) as client:
            reply = await client.post(f"{endpoint}/chat/completions", json=body)
        return vf.ProgramResult(int(reply.is_error), "", reply.text if reply.is_error else "")


__all__ = ["Ask", "SumsTaskset"]
