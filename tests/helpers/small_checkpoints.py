"""Small models and states that the tests of checkpoints share."""

import numpy as np
import torch
from small_models import TINY

from dnalm.training.engine.state import State, load_weights, restore_rng, rng_state, weights_of

SIZES = {**TINY, "vocab_size": 40, "pad_token_id": 0, "hidden_size": 16, "intermediate_size": 32}
ARCHITECTURES = {
    "bert": {},
    "esm": {"hidden_dropout_prob": 0.1},
    "albert": {"embedding_size": 8},
    "modernbert": {"cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2},
    "mixtral": {"num_key_value_heads": 1, "num_local_experts": 3, "head_dim": 8},
    "llama": {"num_key_value_heads": 1},
}


def tiny(kind="bert", seed=1, task="SequenceClassification"):
    import transformers
    from transformers import AutoConfig

    torch.manual_seed(seed)
    return getattr(transformers, f"AutoModelFor{task}").from_config(
        AutoConfig.for_model(**{**SIZES, "model_type": kind, **ARCHITECTURES.get(kind, {})})
    )


def adapted(seed=1):
    from peft import LoraConfig, get_peft_model

    model = tiny(seed=7)
    torch.manual_seed(seed)
    lora = LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["query", "value"], modules_to_save=["classifier"])
    return get_peft_model(model, lora)


class Training:
    """A model with dropout, AdamW with weight decay on a part of it, and a falling learning rate."""

    def __init__(self, model):
        from transformers import get_linear_schedule_with_warmup

        self.model = model.train()
        learnt = [p for p in model.parameters() if p.requires_grad]
        groups = [{"params": [p for p in learnt if (p.ndim > 1) == matrix]} for matrix in (True, False)]
        groups[1]["weight_decay"] = 0.0
        self.optimizer = torch.optim.AdamW(groups, lr=1e-2)
        self.scheduler = get_linear_schedule_with_warmup(self.optimizer, 2, 20)

    def steps(self, count):
        for _ in range(count):
            ids = torch.randint(3, 40, (4, 10)).to(self.model.device)
            self.model(input_ids=ids, labels=ids[:, 0] % 2).loss.backward()
            self.optimizer.step()
            self.scheduler.step()
            self.optimizer.zero_grad()
        return self

    def state(self, step=5, progress=None, best=None):
        parts = weights_of(self.model), self.optimizer.state_dict(), self.scheduler.state_dict()
        return State(step, step / 3, *parts, [rng_state()], progress or {}, best)

    def restore(self, state):
        load_weights(self.model, state.weights)
        self.optimizer.load_state_dict(state.optimizer)
        self.scheduler.load_state_dict(state.scheduler)
        restore_rng(state.rng[0])
        return self


def same(one, other):
    """Equal to the last bit, in type and structure."""
    if isinstance(one, torch.Tensor):
        if one.dtype != other.dtype or one.shape != other.shape:
            return False
        return torch.equal(*(tensor.detach().reshape(-1).contiguous().view(torch.uint8) for tensor in (one, other)))
    if isinstance(one, dict):
        return set(one) == set(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    return type(one) is type(other) and (one == other or (one != one and other != other))


def toy(step, phase=0, best=None):
    """A small state that its step and phase tell all about."""
    tensor = torch.full((50,), float(step)) + torch.arange(50) * phase
    optimizer = {"state": {0: {"exp_avg": tensor * 2}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    return State(step, step / 4, {"w": tensor}, optimizer, {"last_epoch": step}, [rng_state()], {"phase": phase}, best)


def write_toy_config(directory):
    (directory / "config.json").write_text("{}")


def save(checkpoints, *states):
    for state in states:
        checkpoints.save(state, write_toy_config)
    checkpoints.wait()


def names(folder):
    return sorted(path.name for path in folder.iterdir())
