import pytest
from needed import needs

from dnalm.training.benchmarks.measurements import BERT_SMALL, METHOD, Arm, Suite
from dnalm.training.benchmarks.trainers import ArmRun, run_arm
from dnalm.training.runtime.team import join_team

pytestmark = [pytest.mark.gpu, needs("a CUDA GPU")]

SMALL = Suite(BERT_SMALL, "cuda", ())


@pytest.mark.parametrize("trainer", ["original", "hf_defaults", "ours"])
def test_a_profile_finds_the_kernels_of_each_step(tmp_path, trainer):
    arm_run = ArmRun(Arm(trainer, 16, (4, 40)), SMALL, join_team("cuda"), tmp_path)
    arm_run.train(4)
    few, many = arm_run.profile(4), arm_run.profile(40)
    assert (few[0], many[0]) == (4, 40)
    for _, stretches, kernels in (few, many):
        assert 0 < kernels <= stretches
    assert many[2] > few[2]


def test_an_arm_on_a_gpu_has_all_its_figures():
    found = run_arm(Arm("ours", 64, (5, 200), (5, 15)), SMALL)
    assert "error" not in found, found["error"]
    assert set(METHOD) <= set(found)
    assert 0 < found["mfu"] < 1 and found["measured_peak"] > 0
    assert 0 <= found["gpu_idle"] <= found["gpu_without_kernel"] <= 1
