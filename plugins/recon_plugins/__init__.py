"""Plugins that ship with recon: one folder a plugin, loaded by the same road as any third party's."""
