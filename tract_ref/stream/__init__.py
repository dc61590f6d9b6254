"""The vocabulary of streaming: facts, rule tables, window geometry."""
