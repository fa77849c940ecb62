"""The outermost layers, which every request passes before any route."""
