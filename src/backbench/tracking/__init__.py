"""All that knows MLflow; imports from search down."""
