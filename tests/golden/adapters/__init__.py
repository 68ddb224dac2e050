"""One module per vector file: `run(input)` does with the live code what the vector describes."""
