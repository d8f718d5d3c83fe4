"""Object mounts side by side: moorfs, s3fs, rclone and bare S3, on one engine, in one run, outside of a cluster."""
