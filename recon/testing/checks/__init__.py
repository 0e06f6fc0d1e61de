"""The checks, one function each; its docstring is the contract."""
