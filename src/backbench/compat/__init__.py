"""Every use of a dependency's private parts, each with its reason and a test of it; imports from runtime alone."""
