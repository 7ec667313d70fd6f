"""The models of the examples."""

import torch
import yaml
from conftest import ROOT

from dnalm.training.models.loading import build
from dnalm.training.models.tokenizers import Specials
from dnalm.training.objectives.base import CAUSAL_CLASS, CAUSAL_MODEL, Head


def test_galaxys_mixtral_has_105_million_parameters():
    config = yaml.safe_load((ROOT / "config/examples/galaxy-pretrain.yaml").read_text())["models"]["mixtral"]
    specials = Specials(prefix=(1,), suffix=(2,), pad=3, unknown=0, mask=4)
    with torch.device("meta"):
        model = build(
            config["architecture"],
            Head(CAUSAL_CLASS, CAUSAL_MODEL, None),
            specials,
            config["tokenizer"]["vocabulary"],
            1,
        )
    assert abs(sum(part.numel() for part in model.parameters()) / 105e6 - 1) < 0.01
