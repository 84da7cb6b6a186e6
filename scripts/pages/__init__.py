"""Generated parts of the documentation: Markdown from the schema, the registries, the command line and the API."""
