"""Data: sets by name with an id for every example that stays its own, and seeded views of them.

Names:
    Augment
        Random changes of images, the same for the same id and view, today and tomorrow.
    Balanced
        Batches in which every class is met equally often, whatever its share of the set.
    Batches
        Examples in memory as batches `{"id", "x", "y"}`, in order or shuffled anew for each epoch.
    class_weights
        Weights under which every class counts the same, for `fit(class_weight=...)`.
    Color
        Brightness, contrast, and, of images with three channels, saturation and hue.
    Crop
        The image padded on all sides, and a piece of its former size cut out somewhere.
    CutMix
        A rectangle of another example pasted in; labels by how much of each is to be seen.
    CutOut
        A square of zeros whose middle is anywhere in the image.
    Dataset
        A data set: its parts by name, and what is known of it.
    feed
        Batches `(x, y)` for `fit`, each example seen through one of its views.
    Flip
        The image, or one time in two its mirror image, left and right exchanged.
    Info
        What is known of a data set.
    load
        A classification set of images or texts, by name, with an id for every example.
    load_folder
        A classification set from a folder of images, with a subfolder for each class.
    load_images
        All images of a folder, without labels.
    MixUp
        Each pixel a weighted mean of two examples, and each label the same mean of two classes.
    NotAvailable
        A data set that exists but cannot be had here: not prepared, and not to be fetched.
    Numbers
        The examples' numbers, from 0 on in the order of `ids`, as the signal `"ids"`.
    Part
        One part of a data set, such as its training examples; or arrays of your own.
    Text
        Texts as rows of word numbers, by Keras's `TextVectorization`; saved beside the student.
    tf_data
        The examples of `part` as a `tf.data.Dataset` of `{"id", "x", "y"}`, one by one, in order.
    Transform
        One random change of an image; its settings are the fields of a frozen dataclass.
    Translate
        The image moved by up to a part of its height and of its width; zeros come in.
"""

from keras_kd._core.deprecated import moved as _moved
from keras_kd._examples._batches import Batches as Batches
from keras_kd._examples._batches import tf_data as tf_data
from keras_kd._examples._part import Part as Part
from keras_kd.data._balance import Balanced as Balanced
from keras_kd.data._balance import class_weights as class_weights
from keras_kd.data._dataset import Dataset as Dataset
from keras_kd.data._dataset import Info as Info
from keras_kd.data._dataset import NotAvailable as NotAvailable
from keras_kd.data._example_numbers import Numbers as Numbers
from keras_kd.data._image_folder import load_folder as load_folder
from keras_kd.data._image_folder import load_images as load_images
from keras_kd.data._load import load as load
from keras_kd.data._mixes import CutMix as CutMix
from keras_kd.data._mixes import MixUp as MixUp
from keras_kd.data._pipelines import feed as feed
from keras_kd.data._text import Text as Text
from keras_kd.data._transforms import Color as Color
from keras_kd.data._transforms import Crop as Crop
from keras_kd.data._transforms import CutOut as CutOut
from keras_kd.data._transforms import Flip as Flip
from keras_kd.data._transforms import Transform as Transform
from keras_kd.data._transforms import Translate as Translate
from keras_kd.data._views import Augment as Augment

__getattr__ = _moved(__name__, {"Colour": "keras_kd.data.Color"})

__all__ = [
    "Augment", "Balanced", "Batches", "Color", "Crop", "CutMix", "CutOut", "Dataset",
    "Flip", "Info", "MixUp", "NotAvailable", "Numbers", "Part", "Text", "Transform",
    "Translate", "class_weights", "feed", "load", "load_folder", "load_images", "tf_data",
]  # fmt: skip
