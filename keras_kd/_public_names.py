"""What `import keras_kd` opens: the names of the front door, and all that saved files need to find."""

from keras_kd import compression as compression
from keras_kd import losses as losses
from keras_kd import metrics as metrics
from keras_kd import procedures as procedures
from keras_kd import projectors as projectors
from keras_kd import recipes as recipes
from keras_kd import schedules as schedules
from keras_kd import teachers as teachers
from keras_kd._with_logits import with_logits as with_logits
from keras_kd.distiller import Distiller as Distiller
from keras_kd.teachers import Ensemble as Ensemble
from keras_kd.teachers import Momentum as Momentum
from keras_kd.terms import Labels as Labels
from keras_kd.terms import Term as Term
