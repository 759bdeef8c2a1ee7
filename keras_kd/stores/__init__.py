"""Stores: the teacher is asked once, and its answers are read again by every later run."""

from keras_kd.stores._beam import write_with_beam as write_with_beam
from keras_kd.stores._codecs import Largest as Largest
from keras_kd.stores._codecs import StoreError as StoreError
from keras_kd.stores._fingerprint import fingerprint as fingerprint
from keras_kd.stores._index import merge as merge
from keras_kd.stores._manifest import Manifest as Manifest
from keras_kd.stores._reader import read as read
from keras_kd.stores._store import Store as Store
from keras_kd.stores._verify import Verified as Verified
from keras_kd.stores._verify import verify as verify
from keras_kd.stores._writer import write as write
