"""Shipped recipes: one complete YAML per experiment."""
