"""The only code that touches a Channel Access library."""
