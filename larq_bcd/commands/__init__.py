"""The commands `larq-bcd` and `lce_convert`: a module for each."""
