"""Deployment: a verified LiteRT file becomes a folder that runs elsewhere, or a service here.

which file: a study's, one on disk, a registered one    verified.py, registered.py, targets.py
what it takes, gives and scores: `model.json`           description.py, columns.py
the model at work, without hpsearch                     litert_runtime/
the folder: that, and what ships it                     package.py, templates/, mlmodel.py, c_array.py
"""
