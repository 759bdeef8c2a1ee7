"""Students: small networks for images, sound, text and tables, to be taught and to be exported.

Each is a plain function that gives a Keras model with new weights and logits at its end.
"""

from keras_kd.students._ladder import large as large
from keras_kd.students._ladder import medium as medium
from keras_kd.students._ladder import small as small
from keras_kd.students._ladder import tiny as tiny
from keras_kd.students._mlperf_tiny import autoencoder as autoencoder
from keras_kd.students._mlperf_tiny import ds_cnn as ds_cnn
from keras_kd.students._mlperf_tiny import mobilenet_v1 as mobilenet_v1
from keras_kd.students._mlperf_tiny import resnet8 as resnet8
from keras_kd.students._names import build as build
from keras_kd.students._names import names as names
from keras_kd.students._plain import cnn as cnn
from keras_kd.students._plain import mlp as mlp
from keras_kd.students._plain import text_cnn as text_cnn
