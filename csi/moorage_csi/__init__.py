"""moorage_csi: a thin shell around `moorage`."""
