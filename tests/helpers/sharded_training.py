"""A training of six steps, alone and sharded: a program of several processes.

Arguments: a directory, the device, the kind of sharding, and variants of the model.
"""

import contextlib
import copy
import functools
import pickle
import sys
from pathlib import Path

import torch
from closeness import close, size
from processes import started
from transformers import AutoConfig, AutoModelForSequenceClassification

from dnalm.training.engine.packing import PackedModel
from dnalm.training.engine.sharding import shard
from dnalm.training.runtime.team import join_team

SIZES = (7, 5, 3, 8, 6, 3)
LENGTH = 9
VARIANTS = ("padded", "packed", "lora")


def build(variant, device):
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "bert", vocab_size=30, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, num_labels=2,
    )  # fmt: skip
    model = AutoModelForSequenceClassification.from_config(config)
    if variant == "lora":
        from peft import LoraConfig, get_peft_model

        adapters = LoraConfig(task_type="SEQ_CLS", target_modules=["query", "value"], r=4, init_lora_weights=False)
        model = get_peft_model(model, adapters)
    return model.to(device).train()


def optimizer(model):
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    matrices, rest = ([p for p in trained if (p.dim() > 1) == wanted] for wanted in (True, False))
    return torch.optim.AdamW([{"params": matrices}, {"params": rest, "weight_decay": 0.0}], lr=1e-3, weight_decay=0.1)


def batch(step, device):
    random = torch.Generator().manual_seed(step)
    ids = torch.randint(5, 30, (SIZES[step], LENGTH), generator=random)
    return ids.to(device), torch.randint(2, (SIZES[step],), generator=random).to(device)


def packed_row(ids):
    """The sequences of `ids` (n, length) one after another, with room for two more."""
    count, device = len(ids), ids.device
    tokens = torch.nn.functional.pad(ids.reshape(-1), (0, 2 * LENGTH))
    ends = torch.arange(count + 2, dtype=torch.int32, device=device) * LENGTH
    ends[-1] = len(tokens)
    return {
        "input_ids": tokens[None],
        "position_ids": (torch.arange(len(tokens), device=device) % LENGTH)[None],
        "boundaries": ends,
    }


def loss_of(run, ids, labels, whole):
    if not len(labels):  # nothing for this process; a filler of no weight
        ids, labels, whole = ids.new_ones(1, LENGTH), labels.new_zeros(1), torch.inf
    return torch.nn.functional.cross_entropy(run(ids).float(), labels, reduction="sum") / whole


def train_alone(model, optimizer, steps, device):
    norms = []
    for step in steps:
        ids, labels = batch(step, device)
        loss_of(lambda ids: model(input_ids=ids).logits, ids, labels, len(labels)).backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)))
        optimizer.step()
        optimizer.zero_grad()
    return norms


def train_sharded(sharded, run, steps, team):
    """Two micro-batches a process; the second of the last process is empty."""
    norms = []
    for step in steps:
        ids, labels = batch(step, team.device)
        ends = [0, len(ids) - 2, len(ids) - 1, len(ids), len(ids)]
        for micro in range(2):
            at = slice(*ends[2 * team.rank + micro :][:2])
            loss = sharded.forward(functools.partial(loss_of, run, ids[at], labels[at], len(labels)))
            sharded.backward(loss, last=micro == 1)
        norms.append(float(sharded.clip_and_step(0.5)))
    return norms


def runner(model, variant):
    if variant != "packed":
        return lambda ids: model(input_ids=ids).logits
    packed = PackedModel(model)
    return lambda ids: packed(packed_row(ids))[: len(ids)]


def trained(variant, kind, team):
    """Norms, weights, states and logits: alone, sharded, and sharded from the half-way state of the one alone."""
    alone = build(variant, team.device)
    own = optimizer(alone)
    found = {"norms": [train_alone(alone, own, range(3), team.device)]}
    found["half"] = [copy.deepcopy((alone.state_dict(), own.state_dict()))]
    found["norms"][0] += train_alone(alone, own, range(3, 6), team.device)
    found["end"] = [copy.deepcopy(alone.state_dict())]

    model = build(variant, team.device)
    run, sharded = runner(model, variant), shard(model, optimizer, team, kind)
    norms = train_sharded(sharded, run, range(3), team)
    found["half"].append(sharded.state())
    found["norms"].append(norms + train_sharded(sharded, run, range(3, 6), team))
    found["end"].append(sharded.state()[0])

    resumed = build(variant, team.device)  # goes on from the state of one process
    run, sharded = runner(resumed, variant), shard(resumed, optimizer, team, kind)
    sharded.load(*found["half"][0])
    found["half"].append(sharded.state())
    found["norms"].append(found["norms"][0][:3] + train_sharded(sharded, run, range(3, 6), team))
    found["end"].append(sharded.state()[0])
    resumed.eval()
    ids = batch(0, team.device)[0]
    with torch.no_grad():
        found["logits"] = [alone.eval()(input_ids=ids).logits.cpu(), sharded.forward(lambda: run(ids)).cpu()]
    found["parts"] = len(getattr(sharded, "_units", []))
    return found


def main():
    place, device, kind, *variants = sys.argv[1:]
    torch.set_num_threads(1)
    with contextlib.suppress(ImportError):
        import deepspeed

        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # compiles for minutes
    team = join_team(device)
    for variant in variants:
        found = trained(variant, kind, team)
        Path(place, f"{variant}-{team.rank}.pickle").write_bytes(pickle.dumps(found))
    team.leave()


def train_all(place, kind, device="cpu"):
    """Train every variant, alone and sharded in two processes, which are started once; returns `place`."""
    started([sys.executable, __file__, place, device, kind, *VARIANTS])
    return place


def compare(place, variant, parts=1e-5):
    """Compare everything that `train_all` wrote of a variant; returns what the first process found."""
    first, second = (pickle.loads((place / f"{variant}-{rank}.pickle").read_bytes()) for rank in range(2))
    for norms in first["norms"][1:]:
        assert close(norms, first["norms"][0], parts)
    for end in first["end"][1:]:
        assert close(end, first["end"][0], parts, size(first["end"][0]))  # biases of keys are rounding alone
    for half in first["half"][1:]:
        weights, alone = first["half"][0]
        assert close(half[0], weights, parts, size(weights))
        assert half[1]["param_groups"] == alone["param_groups"]
        for moment in ("step", "exp_avg", "exp_avg_sq"):
            found, expected = ({k: v[moment] for k, v in state["state"].items()} for state in (half[1], alone))
            assert close(found, expected, parts, size(expected)), moment
    assert close(*reversed(first["logits"]), parts)
    assert close(second["logits"][1], first["logits"][1], parts)
    assert second["half"][1] == ({}, {}), "the main process alone holds what it writes"
    return first


if __name__ == "__main__":
    main()
