"""`moorage-csi controller|node|mounter|all`: the start of each, before anything big is loaded. `moorage-csi unsaved` is
a tool for people in the mounter's pod (`mounter.backlog`).
"""

import sys

from moorage_csi import lean


def main() -> None:
    if sys.argv[1:2] in (["node"], ["mounter"]):  # these run on every node
        lean.leave_out()
    if sys.argv[1:2] == ["unsaved"]:
        from moorage_csi.mounter import backlog

        sys.exit(backlog.main(sys.argv[2:]))
    from moorage_csi import app

    app.main()


if __name__ == "__main__":
    main()
