"""A loop over the configurations, in plain Keras: nothing is tracked, nothing saved."""

import keras
from work import SCORE, contend


def search(work):
    train, validation = work.data()
    for params in work.configurations():
        keras.utils.clear_session()
        model = work.build(params)
        history = model.fit(
            *train,
            epochs=work.epochs,
            batch_size=work.batch_size,
            validation_data=validation,
            verbose=0,
        )
        yield params, max(history.history[SCORE])


if __name__ == "__main__":
    contend(search)
