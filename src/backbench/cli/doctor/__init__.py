"""What of the environment is ready, and what a run of the benchmark would cost; no network library is imported."""
