"""A LiteRT model at work, without what made it: Python 3.10 or later, NumPy and ai-edge-litert are enough.

This folder is copied as it is beside a model that `hpsearch package` packs, so it imports nothing of
hpsearch.

    model.py          the file in the interpreter: real numbers in, real numbers and classes out
    inputs.py         whether what someone gives is what the model takes, and what the file takes for it
    preprocessing.py  text and columns become numbers as they did in training
    payload.py        JSON and CSV, in the forms that MLflow's scoring server reads
    script.py         a command line over files
    service.py        the same over HTTP; needs FastAPI and uvicorn
    pyfunc.py         the same for MLflow
"""
