"""Graphs that are attributes of nodes: what they read of the graph around them."""

from __future__ import annotations

from collections.abc import Iterator

from onnx import AttributeProto, GraphProto, NodeProto


def graphs_of(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the graphs among the attributes of a node."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g


def values_read(node: NodeProto) -> list[str]:
    """Return the names of the values that a node reads, by itself or in a graph of its own."""
    names = [name for name in node.input if name]
    for graph in graphs_of(node):
        names += free_values(graph)
    return names


def free_values(graph: GraphProto) -> list[str]:
    """Return the names that a graph reads and does not define, each once, in order."""
    own = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    own |= {name for node in graph.node for name in node.output}
    read = [name for node in graph.node for name in values_read(node)]
    read += [value.name for value in graph.output]
    return [name for name in dict.fromkeys(read) if name not in own]
