"""The conformance suite of tract_ref: problems, laws, engines."""
