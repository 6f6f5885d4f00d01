"""How each family of arrays multiplies at given widths."""

from accel_models.accelerators.arrays.array import Array
from accel_models.accelerators.arrays.bismo import Bismo
from accel_models.accelerators.arrays.bit_fusion import BitFusion
from accel_models.accelerators.arrays.bitblade import BitBlade
from accel_models.accelerators.arrays.colonnade import Colonnade
from accel_models.accelerators.arrays.dadiannao import DaDianNao
from accel_models.accelerators.arrays.eyeriss import Eyeriss
from accel_models.accelerators.arrays.loom import Loom
from accel_models.accelerators.arrays.stripes import Stripes
from accel_models.accelerators.arrays.systolic import Systolic
from accel_models.accelerators.arrays.unpu import Unpu

FAMILIES: dict[str, type[Array]] = {
    "bit_fusion": BitFusion,
    "bismo": Bismo,
    "bitblade": BitBlade,
    "colonnade": Colonnade,
    "dadiannao": DaDianNao,
    "eyeriss": Eyeriss,
    "loom": Loom,
    "stripes": Stripes,
    "systolic": Systolic,
    "unpu": Unpu,
}
"""Families by the name that a machine's file gives as ``array.family``. Add your own here."""
