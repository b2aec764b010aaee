"""The typed configuration, a module per group, its files, and the catalogue; imports from runtime."""
