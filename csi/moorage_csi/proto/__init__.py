"""Messages generated from the .proto files beside this file; made again by `python csi/generate.py`."""
