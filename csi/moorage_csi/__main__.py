"""`moorage-csi controller|node|mounter|all`: the start of each, before anything big is loaded."""

import sys

from moorage_csi import lean


def main() -> None:
    if sys.argv[1:2] in (["node"], ["mounter"]):  # these run on every node
        lean.leave_out()
    from moorage_csi import app

    app.main()


if __name__ == "__main__":
    main()
