"""All that knows MLflow, and what it is told of a comparison; imports from comparison down."""
