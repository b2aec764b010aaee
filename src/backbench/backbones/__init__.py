"""Backbones: graphs, weights, preprocessing, cut points, latency, determinism; imports from data down."""
