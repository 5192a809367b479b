"""The conformance kit for the command and for pytest: what a person says of a target, and what drives the cases."""
