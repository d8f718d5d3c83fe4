// Command rclone is rclone with what the mounter uses of it: the S3 backend, the local one, which its cache is, and
// mount with its remote control. The whole of it has seventy more backends and is three times as large.
package main

import (
	_ "github.com/rclone/rclone/backend/local"
	_ "github.com/rclone/rclone/backend/s3"
	"github.com/rclone/rclone/cmd"
	_ "github.com/rclone/rclone/cmd/mount"
	_ "github.com/rclone/rclone/cmd/version"
)

func main() {
	cmd.Main()
}
