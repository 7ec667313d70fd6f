"""Small classifiers of several architectures, a batch for them, and a training that knows no engine."""

import torch
from small_models import TINY, records, small_tokenizer

from dnalm.training.models.loading import build
from dnalm.training.models.tokenizers import specials_of
from dnalm.training.objectives.classification import Classification

CPU = torch.device("cpu")
TOKENIZER = small_tokenizer()
SPECIALS = specials_of(TOKENIZER)
HEAD = Classification({0: "no", 1: "yes"}).head
MIXTRAL = {**TINY, "model_type": "mixtral", "num_key_value_heads": 2, "num_local_experts": 4}
EXPERTS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]


def classifier(architecture=TINY):
    return build(architecture, HEAD, SPECIALS, len(TOKENIZER), seed=1).eval()


def batch(count, seed, device=CPU):
    """Inputs and labels of the task of `small_models`."""
    table = records(count, seed)
    inputs = TOKENIZER(table["sequence"].tolist(), padding=True, return_tensors="pt")
    labels = torch.tensor(table["label"].tolist(), device=device)
    return {name: inputs[name].to(device) for name in ("input_ids", "attention_mask")}, labels


def logits(model):
    inputs, _ = batch(16, 3, model.device)
    with torch.inference_mode():
        return model.eval()(**inputs).logits.cpu()


def train(model, steps=6, keep=lambda: None):
    """Train with dropout, calling `keep` after each step; return the losses."""
    model.train()
    torch.manual_seed(1)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for step in range(steps):
        inputs, labels = batch(16, step, model.device)
        loss = torch.nn.functional.cross_entropy(model(**inputs).logits, labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        keep()
    return losses


def frozen(model):
    """Every tensor that training must not change, 4-bit codes included."""
    return {name: p.detach().clone() for name, p in model.named_parameters() if not p.requires_grad}


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def changed(before, after):
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}
