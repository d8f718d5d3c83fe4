"""moorage_operator: a thin shell around `moorage`."""
