"""The model that takes what people have, text or columns, instead of what its network was trained on."""

from __future__ import annotations

import keras


def end_to_end(model: keras.Model, preprocessing: keras.Model) -> keras.Model:
    """Joins a trained model to the preprocessing of its data set.

    String lookups cannot run in a `.tflite` file, nor be trained through; so the network is searched and
    exported without them, and gets them back here.

    Args:
        model: Trained on what `preprocessing` makes of the inputs.
        preprocessing: A functional model, `Data.preprocessing`.

    Returns:
        A model from the raw inputs to the predictions. It is not compiled. Its file needs nothing else.

    Example:
        >>> spam = end_to_end(model, data.preprocessing)
        >>> spam.predict(np.array(["Free prize! Call now"], dtype=object))
    """
    return keras.Model(preprocessing.input, model(preprocessing.output), name="end_to_end")
