from closeness import close
from small_models import TINY

from dnalm.training.benchmarks.embeddings import METHOD, measure_embedding


def test_the_rate_of_embedding_beside_that_of_the_forward_pass(tmp_path):
    found = measure_embedding(tmp_path, TINY | {"max_position_embeddings": 512}, 700, "cpu", repeats=2)
    assert set(METHOD) <= set(found) and found["batches"].startswith("padded (packed rows need a CUDA GPU")
    assert close(found["ratio"], found["records_per_second"] / found["forward_records_per_second"])
    assert close(found["records_per_second"], 700 / found["seconds"]) and 40 < found["tokens_a_record"] < 60
    assert (tmp_path / "vectors.npy").stat().st_size == 128 + 700 * TINY["hidden_size"] * 4
