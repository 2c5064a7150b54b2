"""Parts of pages that are made from the code, one module per kind."""
