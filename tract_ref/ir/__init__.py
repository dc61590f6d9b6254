"""The graph: facts, ops, model, patches, rule tables."""
