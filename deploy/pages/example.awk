# The example of docs/configuration.md as a file of its own.
/^```yaml/ { inside = 1; next }
/^```/ { inside = 0 }
inside { print }
