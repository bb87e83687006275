"""What a compiled function's loops leave behind when the function is gone.

TensorFlow takes a function's graph apart when nobody has the function any more, but not the graphs of the
loops and branches inside it, whose operations hold each other in a cycle that Python cannot see: about 3 MB
stayed of every small network whose epoch was compiled.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import suppress
from typing import Any


def take_apart_with(owner: Any, function: Any) -> None:
    """Has the loops of a concrete function taken apart when `owner` is collected, who alone calls it.

    Args:
        owner: What holds the function, such as a closure over it.
        function: A `tf.types.experimental.ConcreteFunction`.
    """
    inner = list(_inside(function.graph))
    if inner:
        weakref.finalize(owner, _take_apart, [*inner, function.graph]).atexit = False


def _inside(graph: Any) -> Iterator[Any]:
    """Yields the graphs of loops in a graph, those inside others first."""
    for operation in graph.get_operations():
        for name in ("_cond_graph", "_body_graph"):
            inner = getattr(operation, name, None)
            if inner is not None:
                yield from _inside(inner)
                yield inner


def _take_apart(graphs: list[Any]) -> None:
    with suppress(ImportError, AttributeError):  # TensorFlow does this itself with functions; not in its API
        from tensorflow.python.framework.func_graph import dismantle_func_graph

        for graph in graphs:
            dismantle_func_graph(graph)
            # Asked for anew, the list of what it captured is empty: it kept the model's variables.
            _ = graph._function_captures.by_val_capture_tuples
