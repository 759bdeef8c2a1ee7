"""Students: small networks for images, sound, text and tables, to be taught and to be exported.

Each is a plain function that gives a Keras model with new weights and logits at its end.

Names:
    autoencoder
        MLPerf Tiny's network for anomalies: dense layers that give their input again, 269,992
        weights.
    build
        The classifier of this name, with new weights.
    cnn
        Convolutions in a row, for small images.
    ds_cnn
        MLPerf Tiny's network for keywords: depthwise-separable convolutions, 24,908 weights.
    large
        The highest rung for images of any size: 1.4 million weights.
    medium
        The third rung for images of any size: 510 thousand weights.
    mlp
        Dense layers with ReLU, for rows of a table; images are laid flat.
    mobilenet_v1
        MLPerf Tiny's network for visual wake words: MobileNetV1 at a quarter, 221,794 weights.
    names
        The names that `build` knows, those of images first.
    resnet8
        MLPerf Tiny's network for images: three residual blocks, 78,666 weights.
    small
        The second rung for images of any size: 118 thousand weights.
    text_cnn
        Convolutions over three, four and five words, for texts.
    tiny
        The smallest network for images of any size: 28 thousand weights.
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

__all__ = [
    "autoencoder", "build", "cnn", "ds_cnn", "large", "medium", "mlp", "mobilenet_v1",
    "names", "resnet8", "small", "text_cnn", "tiny",
]  # fmt: skip
