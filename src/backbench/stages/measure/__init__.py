"""The measure stage: the latency and throughput of every backbone on this machine."""
