"""The demonstration behind ``recon demo``: what is compared, how it is measured, and the pages that show it."""
