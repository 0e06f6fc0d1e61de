"""Datasets and file formats that ship with recon: one folder a plugin."""
