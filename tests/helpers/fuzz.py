"""Files damaged at random, for readers that may refuse them but not fail otherwise.

python tests/helpers/fuzz.py [CASES [SEED]]     a run of one's own, of as many cases as wanted
"""

from __future__ import annotations

import faulthandler
import random
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from damaged_onnx import damaged_model, whole_models

from accel_models.errors import InputError
from accel_models.workloads.layer_csv import LISTS, read_layers
from accel_models.workloads.onnx_file import read_onnx
from accel_models.workloads.widths_file import read_widths

NASTY = (
    *("", "0", "-1", "1", "3", "1.5", "1e9", "999999999", "9" * 30, "nan", "inf", "true", "no"),
    *("3x", "x3", "3x3x3x3x3", "0x0", "1x0x1x0", "matmul", "conv", "embedding", "layer_norm"),
    *(
        "skip",
        "full",
        "32",
        "33",
        "4/8",
        "8/",
        "/",
        "*",
        "[",
        "+",
        "-",
        "+conv1",
        "*conv1",
        "conv1",
    ),
    *(",", ";", "\t", '"', "'", "\n", "\r", "\0", "\ufeff", "é", "🜁", " ", "=", "[[a]]", "#"),
)
HANG_S = 120
"""Seconds of one case after which a run of one's own is given up, with a trace of where it is."""

TABLES = {path.name: path.read_text() for path in sorted(LISTS.glob("*t*.csv"))[:6]}
TABLES |= {
    "scale_sim.csv": "Layer name, IFMAP Height, IFMAP Width, Filter Height, Filter Width, "
    "Channels, Num Filter, Strides,\nConv1, 224, 224, 7, 7, 3, 64, 2,\n"
    "DP2, 56, 56, 3, 3, 64, 1, 1,\n",
    "product.csv": "Layer, M, N, K\nq, 197, 768, 768\nk, 197, 768, 768\n",
    "every.csv": "name,in_channels,out_channels,in_size,kernel,stride,padding,padding_mode,"
    "dilation,groups,operator,activation,others,row,reads,reads_image,weight_bits,activation_bits\n"
    "conv1,3,8,9x9,3,2,1x0,reflect,1,1,conv,gelu,,,-,true,4,8\n"
    "pool,8,8,4x4,2,2,0,,1,1,max_pool,,,,conv1,,8,8\n"
    "soft,8,8,2x2,,,,,,2,softmax,,,4,pool,,8,8\nadd,8,8,2x2,,,,,,1,sum,,32,,soft *pool,,8,8\n",
}
WIDTHS = {
    "a.toml": '"*" = 8\n"layer3.*" = "4/8"\nfc = 8\nlast = "full"\n',
    "b.csv": "name,precision\n*,8\nlayer3.*,4/8\nfc,skip\n",
    "c.csv": "name,weight_bits,activation_bits\n*,8,8\nfc,4,8\n",
    "d.json": '{"*": 8,\n"layer3.*": "4/8",\n"fc": {"w": 4,\n"a": 8}}\n',
    "e.json": '{"quant_method": "auto-round",\n"bits": 4,\n"act_bits": 8,\n'
    '"extra_config": {".*fc.*": {"bits": 8,\n"data_type": "int"}},\n'
    '"dynamic": {"-:layer3": {}},\n"block_name_to_quantize": "layers"}\n',
    "f.json": "[[8, -1],\n[4, 6],\n[8, 8]]\n",
}
Case = tuple[str, bytes, Callable[[Path], object]]


def damaged_text(text: str, rng: random.Random) -> bytes:
    """A table or list with cells, rows or bytes changed."""
    rows = [row.split(",") for row in text.split("\n")]
    for _ in range(rng.choice((1, 1, 2, 5))):
        row = rng.choice(rows)
        how = rng.randrange(8)
        if how < 4:
            row[rng.randrange(len(row))] = rng.choice(NASTY)
        elif how == 4:
            row.insert(rng.randrange(len(row) + 1), rng.choice(NASTY))
        elif how == 5 and len(row) > 1:
            del row[rng.randrange(len(row))]
        elif how == 6:
            rows.insert(rng.randrange(len(rows) + 1), list(rng.choice(rows)))
        elif len(rows) > 2:
            rows.remove(row)
    data = bytearray("\n".join(",".join(row) for row in rows).encode())
    if rng.random() < 0.2 and data:
        del data[rng.randrange(len(data)) :]
    for _ in range(rng.choice((0, 0, 0, 1, 8)) if data else 0):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def case(number: int, seed: int) -> Case:
    """Name, contents and reader of one damaged file, always the same."""
    rng = random.Random(f"{seed}.{number}")
    kind = number % 4
    if kind < 2:
        models = whole_models()
        return "net.onnx", damaged_model(models[rng.randrange(len(models))], rng), read_onnx
    if kind == 2:
        name = rng.choice(sorted(TABLES))
        return name, damaged_text(TABLES[name], rng), read_layers
    name = rng.choice(sorted(WIDTHS))
    return name, damaged_text(WIDTHS[name], rng), read_widths


def fault(number: int, seed: int, folder: Path) -> BaseException | None:
    """What comes out of a damaged file beside what is documented; None if nothing does."""
    name, data, read = case(number, seed)
    path = folder / name
    path.write_bytes(data)
    try:
        read(path)
    except InputError as error:
        told = str(error)
        if "\n" in told or name not in told:
            return AssertionError(f"no sentence that names the file: {told!r}")
    except Exception as error:
        return error
    return None


def main() -> None:
    cases, seed = (int(one) for one in (*sys.argv[1:3], *("10000", "0")[len(sys.argv) - 1 :]))
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(cases):
            faulthandler.dump_traceback_later(HANG_S, exit=True)
            error = fault(number, seed, Path(folder))
            if error is not None:
                where = traceback.extract_tb(error.__traceback__)[-1:] or [None]
                kind = f"{type(error).__name__} {where[0]} {str(error)[:200]}"
                if not found[kind]:
                    print(f"case {number}: {kind}", flush=True)
                found[kind] += 1
    print(f"{cases} cases of seed {seed}: {sum(found.values())} faults of {len(found)} kinds")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
