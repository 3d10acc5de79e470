"""Ordinary differential equations in JAX: integrators whose gradients are those of what they do."""
