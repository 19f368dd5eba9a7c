"""Thin stpipe steps: fields from the model, one algorithm call, fields back."""
