"""A request for a plan, in each of the ways in which it can be answered: at once, stored, as a stream."""

from fastapi import Request

from api import service
from api.admission import spend_plan
from api.core import Core
from api.follow import leave, outcome
from api.presence import while_present
from api.routes.work import core_of, off_loop
from api.state.runs import NewRun, Run
from strategy.request import Request as PlanRequest
from strategy.result import Result


async def answer(request: Request, ask: PlanRequest | str, proposer: service.Proposer | None) -> Result:
    """Plan while the client waits; nothing is stored. A client that leaves ends the call that is going on."""
    core = core_of(request)
    chosen = proposer or core.settings.proposer
    service.dependencies(core.settings, chosen)
    await spend_plan(request)
    result = await while_present(request, _plan(core, ask, chosen))
    core.watch.metrics.planned(result)
    return result


async def store(
    request: Request, ask: PlanRequest | str, proposer: service.Proposer | None, *, key: str | None, attached: bool
) -> tuple[Run, bool]:
    """Queue a run, or find the one that this Idempotency-Key started (True). With a key it goes on when the client leaves."""
    core = core_of(request)
    chosen = proposer or core.settings.proposer
    service.dependencies(core.settings, chosen)
    if isinstance(ask, PlanRequest):
        await off_loop(request, lambda: service.resolve_request(ask))
    new = NewRun(
        ask=ask,
        proposer=chosen,
        key_id=request.state.caller.key_id,
        attached=attached and key is None,
        idempotency_key=key,
    )
    run, replayed = await core.runs.add(new, max_queued=core.settings.max_queued_runs)
    if not replayed:
        await _charge(request, core, run)
        core.worker.wake()
    return run, replayed


async def ended(request: Request, run: Run) -> Run:
    """The run once it has its outcome."""
    return await while_present(request, outcome(core_of(request), run))


def wants_async(prefer: str | None) -> bool:
    """Whether a `Prefer` header says that the client would rather not wait (RFC 7240)."""
    return any(wish.partition(";")[0].strip().lower() == "respond-async" for wish in (prefer or "").split(","))


async def _plan(core: Core, ask: PlanRequest | str, proposer: service.Proposer) -> Result:
    from agent.graph import run

    async with core.gate(proposer).turn():
        return await run(ask, service.dependencies(core.settings, proposer))


async def _charge(request: Request, core: Core, run: Run) -> None:
    """Count the plan; a run beyond the quota is taken back."""
    try:
        await spend_plan(request)
    except BaseException:
        await leave(core, run)
        raise
