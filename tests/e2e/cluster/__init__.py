"""A real Kubernetes cluster to prove Moorage on: `python -m cluster up` starts one, `down` leaves nothing.

`provider.py` is the interface; `local.py`, `kind.py` and `existing.py` are its three makers.
"""
