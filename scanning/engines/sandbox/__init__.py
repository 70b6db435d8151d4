"""The sandboxed program that reads the bytes of layers."""
