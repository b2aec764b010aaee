"""`python -m bench`: the benchmark of docs/performance.md."""

# Every arm's process imports this module again; what the driver imports must not count among an arm's imports.
if __name__ == "__main__":
    from bench.command import main

    main()
