"""What combines two ways of compression, as in `tfmot.experimental`."""

from keras_kd.compat.tfmot.experimental import combine as combine
