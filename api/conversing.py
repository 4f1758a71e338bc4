"""One more turn of a conversation, for a client that sends all of them each time."""

from collections.abc import Sequence

import structlog
from fastapi import Request

from agent.chat import Reply, Thread, turn
from api import facade, service
from api.admission import Caller, spend_plan
from api.core import Core
from api.errors import UnavailableError
from api.presence import while_present
from api.routes.work import core_of
from api.state.threads import Said

log = structlog.get_logger()
MAX_REPLAYED = 8
"""User turns that are gone through again when a conversation is not known; the ones before are forgotten."""


async def answer(request: Request, turns: Sequence[Said], proposer: service.Proposer) -> Reply:
    """Answer the last turn. A client that leaves ends the call that is going on."""
    core = core_of(request)
    service.dependencies(core.settings, proposer)
    caller: Caller = request.state.caller
    await spend_plan(core, caller)
    reply = await while_present(request, _answer(core, caller.key_id, turns, proposer))
    if reply.result is not None:
        core.watch.metrics.planned(reply.result)
    return reply


async def _answer(core: Core, key_id: str, turns: Sequence[Said], proposer: service.Proposer) -> Reply:
    async with core.gate(proposer).turn():
        thread = await _thread(core, key_id, turns[:-1])
        thread, reply = await turn(thread, turns[-1][1], service.dependencies(core.settings, proposer))
    try:
        await core.threads.keep(key_id, [*turns, ("assistant", facade.content(reply))], thread)
    except UnavailableError:
        # The answer is made, and a conversation that is not known is gone through again.
        log.warning("thread_not_kept")
    return reply


async def _thread(core: Core, key_id: str, turns: Sequence[Said]) -> Thread:
    """What is remembered of the turns before; where nothing is, the planner goes through the user's again, without a model."""
    if not turns:
        return Thread()
    thread = await core.threads.find(key_id, turns)
    if thread is None:
        thread = Thread()
        for text in [text for role, text in turns if role == "user"][-MAX_REPLAYED:]:
            thread, _ = await turn(thread, text, service.dependencies(core.settings, "planner"))
    return thread
