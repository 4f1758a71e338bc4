"""The canonical DAG of a strategy: which blocks, which collectives on which axis, for each phase (templates of S1 §6).

`build` writes what an engine does for these degrees and nothing else: an axis of one rank has no node (CM001). Phases share a block
when it comes out equal, and have one each when it does not. Legality is not judged here: an illegal strategy gets the DAG that its
degrees imply, and the rules say what is wrong with it.

`site` knows where a block is written, `attention`, `ffn` and `outside` write the blocks, this module puts them together.
"""

from collections.abc import Callable

from strategy.build.attention import attention_block, linear_block
from strategy.build.ffn import ffn_block, ffn_name
from strategy.build.outside import boundary_block, embed_block, head_block
from strategy.build.parallel import parallel_block
from strategy.build.site import Site
from strategy.dag import Block, Branch, Branches, Dag, LayerStamp, Link
from strategy.layers import MixerKind
from strategy.model import ModelSpec
from strategy.strategy import Phase, Strategy

PHASES: tuple[Phase, ...] = ("prefill", "decode")
_MIXERS: dict[MixerKind, Callable[[Site], Block]] = {"attention": attention_block, "linear": linear_block}


def build(model: ModelSpec, strategy: Strategy) -> Dag:
    """The canonical DAG. Raises `InputError` where the field has no scheme for the combination (Ulysses with MLA, chunks round a ring)."""
    parts = {phase: _parts(Site(model, strategy.pool_for(phase), phase)) for phase in PHASES}
    names, blocks = _name_blocks(parts)
    branches = Branches(prefill=_branch(model, names["prefill"]), decode=_branch(model, names["decode"]))
    links = _links(names, _mixers(model), chunked=strategy.pool_for("prefill").chunk_tokens is not None)
    return Dag(model=model.name, strategy=strategy, blocks=tuple(blocks), branches=branches, links=tuple(links))


def _parts(site: Site) -> dict[str, Block]:
    """Every block of one branch, by what it is for."""
    return {
        "embed": embed_block(site),
        **_layer_parts(site),
        **({"boundary": boundary_block()} if site.pool.pp_size > 1 else {}),
        "head": head_block(site),
    }


def _layer_parts(site: Site) -> dict[str, Block]:
    """What mixes tokens and the FFNs; where both stand side by side, one block under the name of the first."""
    if site.model.parallel_block:
        return {"attention": parallel_block(site)}
    kinds = sorted({kind for _, _, kind in site.model.ffn_runs()} - {"none"})
    parts: dict[str, Block] = {mixer: _MIXERS[mixer](site) for mixer in _mixers(site.model)}
    return parts | {ffn_name(kind): ffn_block(site, kind) for kind in kinds}


def _mixers(model: ModelSpec) -> list[MixerKind]:
    """Kinds of token mixing that the model has, attention first."""
    return sorted({mixer for _, _, mixer, _ in model.layer_runs()} - {"none"})


def _name_blocks(parts: dict[Phase, dict[str, Block]]) -> tuple[dict[Phase, dict[str, str]], list[Block]]:
    """Final names per phase and part: a block that is equal in both phases is written once."""
    names: dict[Phase, dict[str, str]] = {"prefill": {}, "decode": {}}
    blocks: dict[str, Block] = {}
    for part in dict.fromkeys([*parts["prefill"], *parts["decode"]]):
        versions = {phase: made[part] for phase, made in parts.items() if part in made}
        shared = len(set(versions.values())) == 1 or len({b.name for b in versions.values()}) == len(versions)
        for phase, block in versions.items():
            name = block.name if shared else f"{block.name}_{phase}"
            names[phase][part] = name
            blocks[name] = block.model_copy(update={"name": name})
    return names, list(blocks.values())


def _branch(model: ModelSpec, names: dict[str, str]) -> Branch:
    layers = tuple(
        LayerStamp(range=(start, end), blocks=tuple(names[part] for part in (mixer, ffn_name(kind)) if part in names))
        for start, end, mixer, kind in model.layer_runs()
    )
    return Branch(embed=names["embed"], layers=layers, boundary=names.get("boundary"), head=names["head"])


def _links(names: dict[Phase, dict[str, str]], mixers: list[MixerKind], *, chunked: bool) -> list[Link]:
    """What crosses phases and steps: the cache of every kind of layer and the sampled token, and nothing else (PH002, PH005)."""
    prefill, decode = names["prefill"], names["decode"]
    ingress = f"decode.{decode['embed']}.ingress"
    chunks = [_cache_link(prefill, prefill, "prefill", "prefill", mixer) for mixer in mixers] if chunked else []
    return [
        *chunks,
        *(_cache_link(prefill, decode, "prefill", "decode", mixer) for mixer in mixers),
        Link(source=f"prefill.{prefill['head']}.sample", target=ingress, kind="data"),
        *(_cache_link(decode, decode, "decode", "decode", mixer) for mixer in mixers),
        Link(source=f"decode.{decode['head']}.sample", target=ingress, kind="data", loop=True),
    ]


def _cache_link(source: dict[str, str], target: dict[str, str], written: Phase, read: Phase, mixer: MixerKind) -> Link:
    """From what writes the cache (or the state) of a layer to what reads it later."""
    writer = f"{written}.{source[mixer]}.{'state' if mixer == 'linear' else 'kv'}"
    return Link(source=writer, target=f"{read}.{target[mixer]}.attend", kind="sync", loop=written == read)
