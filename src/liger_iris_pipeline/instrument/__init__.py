"""Facts about the instrument; no processing."""
