# All images of Moorage: docker build --target moorage|ganesha|versitygw .
#
# Layers go from what seldom changes (Debian packages, locked Python packages) to what changes at every
# edit (our own code), so an edit costs one layer of some hundred kilobytes, here and on every node.

# ---- Debian packages of the operator, the CSI node plugin, the mounter and the agent of local disks
FROM debian:trixie-slim AS base
# netbase: mount.nfs looks up "tcp" in /etc/protocols. media-types: s3fs sets Content-Type from /etc/mime.types.
# xfsprogs, lvm2: the images of volumes, and logical volumes on the nodes' own disks. (lvm2 would look through all disks of
# the machine that builds, which can take for ever, when it is installed: vgcfgbackup is put aside.)
RUN dpkg-divert --quiet --local --rename --add /usr/sbin/vgcfgbackup \
 && apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      ca-certificates fuse3 lvm2 media-types netbase nfs-common python3 s3fs util-linux xfsprogs \
 # 36 MB of Unicode tables, which of all programs here only xfs_scrub reads. (Their packages stay known to apt, for the
 # stages that install more.)
 && rm -f /usr/lib/*/libicu* \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/* \
 # Ganesha finds the file system of an export through /etc/mtab, which Debian's base image lacks.
 && ln -sf /proc/self/mounts /etc/mtab \
 && echo 'moorage:x:65532:65532:moorage:/nonexistent:/usr/sbin/nologin' >> /etc/passwd \
 && echo 'moorage:x:65532:' >> /etc/group

# ---- Python packages, exactly those of the lock. pip itself stays in this stage.
FROM debian:trixie-slim AS pip
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends binutils ca-certificates python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /opt/pip \
 && python3 -m venv --without-pip /opt/moorage/venv

FROM pip AS venv
# For sites with an index or a certificate authority of their own: --build-arg PIP_INDEX_URL=... --build-arg PIP_CERT=...
ARG PIP_INDEX_URL
ARG PIP_CERT
COPY requirements/image.lock /tmp/
# The synchronous half of the Kubernetes client (a third of the image) is not used; its __init__ files must stay.
# Bytecode is checked in with the image and never checked against the source again: containers run with
# read-only roots as users who could not write it, and compiling the Kubernetes models takes seconds.
RUN /opt/pip/bin/pip --python /opt/moorage/venv/bin/python install --no-cache-dir --no-compile --quiet \
      --disable-pip-version-check --only-binary :all: --require-hashes -r /tmp/image.lock \
 && cd /opt/moorage/venv/lib/python3*/site-packages \
 && find kubernetes/client/api kubernetes/client/models -name '*.py' ! -name __init__.py -delete \
 && find . -name '*.so' -exec strip --strip-unneeded {} + \
 && echo /opt/moorage/app > moorage.pth \
 && python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash . \
 && /opt/moorage/venv/bin/python -c 'import dbus_fast.aio, grpc.aio, kopf, prometheus_client; from kubernetes.aio import client, config, dynamic; client.CoreV1Api(client.ApiClient())'

# ---- Our own code: a copy, the commands named in pyproject.toml, and the metadata that tells the version.
FROM base AS app
COPY pyproject.toml images/install.py /src/
COPY core/moorage /opt/moorage/app/moorage
COPY operator/moorage_operator /opt/moorage/app/moorage_operator
COPY csi/moorage_csi /opt/moorage/app/moorage_csi
COPY cli/moorage_cli /opt/moorage/app/moorage_cli
COPY moorfs/moorfs /opt/moorage/app/moorfs
RUN python3 /src/install.py /src/pyproject.toml /opt/moorage/app

# ---- What both runtime images share
FROM base AS runtime
COPY --from=venv /opt/moorage/venv /opt/moorage/venv
ENV PATH=/opt/moorage/app/bin:/opt/moorage/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1

# ---- rclone, which shows the buckets of volumes with mounter: rclone: built from the sums in images/rclone
FROM golang:1.26-trixie AS rclone-build
WORKDIR /src
COPY images/rclone/ ./
RUN CGO_ENABLED=0 go build -trimpath \
      -ldflags "-s -w -X github.com/rclone/rclone/fs.Version=$(go list -m -f '{{.Version}}' github.com/rclone/rclone)" \
      -o /out/rclone .

FROM runtime AS moorage
COPY --from=rclone-build /out/rclone /usr/bin/rclone
COPY --from=app /opt/moorage/app /opt/moorage/app
USER 65532:65532

# ---- NFS server: Ganesha and the share agent. 9.14 comes from the backports of this very Debian release,
# reached by the same mirror as the release itself. Older versions fail with Linux 6.19 and later clients.
FROM runtime AS nfs
RUN . /etc/os-release \
 && sed -n "/^\$/q; s/^Suites:.*/Suites: $VERSION_CODENAME-backports/; p" /etc/apt/sources.list.d/debian.sources \
      > /etc/apt/sources.list.d/backports.sources \
 && apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends -t "$VERSION_CODENAME-backports" \
      'nfs-ganesha=9.14-*' 'nfs-ganesha-vfs=9.14-*' \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends dbus-daemon \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/* \
 && rm -f /etc/machine-id /var/lib/dbus/machine-id \
 && install -d /run/dbus /run/ganesha /var/log/ganesha

# ---- A mend for this very Ganesha, told in its source: chown to uid 1000 must not fail by chance.
FROM debian:trixie-slim AS mend
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
COPY images/ganesha/terminated.c /src/
RUN gcc -O2 -Wall -Werror -fno-builtin -shared -fPIC -o /terminated.so /src/terminated.c

FROM nfs AS ganesha
COPY --from=mend /terminated.so /usr/local/lib/moorage/terminated.so
COPY --from=app /opt/moorage/app /opt/moorage/app
# Root, because loop devices and mounts are its work; the chart gives it the capabilities and the reason.
USER 0:0
CMD ["moorage-agent"]

# ---- S3 engine: built from the sums in images/versitygw, alone in its image
FROM golang:1.26-trixie AS versitygw-build
WORKDIR /src
COPY images/versitygw/ ./
RUN CGO_ENABLED=0 go build -trimpath \
      -ldflags "-s -w -X main.Version=$(go list -m -f '{{.Version}}' github.com/versity/versitygw)" \
      -o /out/usr/bin/versitygw github.com/versity/versitygw/cmd/versitygw \
 && install -d -m 1777 /out/tmp

FROM scratch AS versitygw
COPY --from=versitygw-build /out /
ENV PATH=/usr/bin
USER 65532:65532
ENTRYPOINT ["/usr/bin/versitygw"]
