"""A config file that cannot be read as keys and values is one line: the file, what is wrong and what to do."""

import json
import re

import pytest

from dnalm.config.yaml_files import check_files
from dnalm.errors import UserError

BOMB = b"a: &a [1,1,1,1,1,1,1,1,1,1]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 10)) for i in range(9)
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ": this config is empty; write keys and values into it, as config/config.yaml does"),
        (b" \n\n", ": this config is empty; write keys"),
        (b"# a: 1\n", ": this config holds nothing but comments; write keys"),
        (b"- a\n- b\n", ": this config is a list, without keys at its top level; write keys"),
        (b"[1, 2]", ": this config has no keys at its top level; write keys"),
        (b"42\n", ": this config is a single value, without keys at its top level; write keys"),
        (b"genomes:\n\tdemo: {}\n", ", line 2: a tab; YAML is indented with spaces only"),
        (b"a: 1\tb: 2\n", ", line 1: this config is not valid YAML: found character"),
        (b"a: [1\nb: 2\n", ", line 2: this config is not valid YAML: expected ',' or ']'"),
        (b"a: *x\n", ", line 1: this config is not valid YAML: found undefined alias 'x'"),
        (b"a: 1\n---\nb: 2\n", ", line 2: this config is not valid YAML"),
        ("a: 1".encode("utf-16"), ": this config is in UTF-16; save it as UTF-8"),
        ("a: 1".encode("utf-32"), ": this config is in UTF-32; save it as UTF-8"),
        ("a: 1".encode("utf-16-le"), ": this is no text file; give a config in YAML, in UTF-8"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", ": this is no text file; give a config in YAML, in UTF-8"),
        ("a: 1\nb: \xe9\n".encode("latin-1"), ", line 2: not in UTF-8; save this config as UTF-8"),
        (b"a: &a\n  b: *a\n", ", line 1: an anchor (&) that holds itself; write out what is meant"),
        (b"a: 1\nb: &a [*a]\n", ", line 2: an anchor (&) that holds itself"),
        (b"a: &a {b: [1, {c: *a}]}\n", ", line 1: an anchor (&) that holds itself"),
        (BOMB, ", line 6: more than 1,000,000 values, with anchors written out"),
        (b"a: " + b"[" * 1000 + b"]" * 1000, ": this config is nested too deeply"),
        (b"a: " + b"9" * 5000, ", line 1: '9999999999999999999999999999999999999999...' cannot be read"),
        (b"a: 2026-13-45", ", line 1: '2026-13-45' cannot be read; correct it, or put it in quotes"),
        (b"a: !!python/object:os.x {}\n", ", line 1: a config has no tags"),
        (b"runs:\n  - {dataset: d}\nrecipes:\n  full: {epochs: 3,\n    batch_size: 4,\n    epochs: 5}\n",
         ", line 6: key 'epochs' was given before, in line 4; keep one of them"),
        (b'{"a": 1,\n\t"a": 2}', ": key 'a' is given 2 times in one place; keep one of them"),
    ],
)  # fmt: skip
def test_a_broken_file_is_one_line(content, message, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match=re.escape(f"{path}{message}")) as caught:
        check_files([path])
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    for path in (tmp_path / "no.yaml", tmp_path):
        with pytest.raises(UserError, match=rf"{path}: this config cannot be read \(.+\); check its name"):
            check_files([path])


def test_what_yaml_and_json_allow_is_read(tmp_path):
    path = tmp_path / "c.yaml"
    for content in (
        b"a: &x {b: 1}\nc: {<<: *x, b: 2}\nd: [{a: 1}, {a: 2}, *x, *x]\n? [1, 2]\n: 3\n",
        b"\xef\xbb\xbfa: 1\n",
        json.dumps({"a": [1, {"b": None}]}, indent="\t").encode(),
    ):
        path.write_bytes(content)
        check_files([path])
