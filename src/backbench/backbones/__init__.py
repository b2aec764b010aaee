"""The catalog of backbones: their graphs, weights and preprocessing."""
