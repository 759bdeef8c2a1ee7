"""The command `keras-kd`: each subcommand is a short call into the library."""

from keras_kd.cli._main import main as main
