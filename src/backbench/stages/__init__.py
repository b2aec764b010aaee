"""The stages that need a network: each reads what the stage before wrote, computes, and writes atomically."""
