"""Stores: a teacher's outputs, computed once and read by every later run.

Names:
    cross_fit
        Writes a store of out-of-fold answers: each from a teacher that did not see the example.
    fingerprint
        A hash of all of a model's weights and of its layers.
    from_answers
        Writes a store of outputs that were computed elsewhere: an array, or a file of them.
    Largest
        The largest logits and what is needed of the rest: a target for `SparseSoftTarget`.
    Manifest
        What stands in `manifest.json`, once it is known to make sense.
    merge
        Puts together what several writers wrote to several folders.
    read
        Batches for `fit` with the teacher outputs stored for them: no teacher is needed.
    Sampled
        Classes drawn from a teacher's distribution: a target for `SampledSoftTarget`.
    Store
        A finished store: the teacher's outputs for some examples by their ids.
    StoreError
        A store that cannot be written or read with these arguments, and why.
    Verified
        What `verify` found when all was well.
    verify
        Compares every file with its checksum, and a sample of outputs with those computed now.
    write
        Computes a teacher's outputs for every example once, and writes them to a folder.
    write_with_beam
        Writes a store as an Apache Beam pipeline: the very files that one `write` would write.
"""

from keras_kd._core.largest import Largest as Largest
from keras_kd._core.sampled import Sampled as Sampled
from keras_kd.stores._beam import write_with_beam as write_with_beam
from keras_kd.stores._codecs import StoreError as StoreError
from keras_kd.stores._cross_fit import cross_fit as cross_fit
from keras_kd.stores._fingerprint import fingerprint as fingerprint
from keras_kd.stores._from_answers import from_answers as from_answers
from keras_kd.stores._index import merge as merge
from keras_kd.stores._manifest import Manifest as Manifest
from keras_kd.stores._reader import read as read
from keras_kd.stores._store import Store as Store
from keras_kd.stores._verify import Verified as Verified
from keras_kd.stores._verify import verify as verify
from keras_kd.stores._writer import write as write

__all__ = [
    "Largest", "Manifest", "Sampled", "Store", "StoreError", "Verified", "cross_fit",
    "fingerprint", "from_answers", "merge", "read", "verify", "write", "write_with_beam",
]  # fmt: skip
