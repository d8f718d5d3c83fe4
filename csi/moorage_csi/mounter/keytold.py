"""Tells the AWS libraries of a program the bucket's key as it is now: `keytold.py FILE SECONDS`, a program of its own.

It is asked again when the key that it told has expired, after so many seconds: so a rotated key is taken without a new
start.
Source: https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
"""

import json
import sys
import time


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        key = json.load(file)
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + int(sys.argv[2])))
    told = {
        "Version": 1,
        "AccessKeyId": key["AWS_ACCESS_KEY_ID"],
        "SecretAccessKey": key["AWS_SECRET_ACCESS_KEY"],
        "Expiration": until,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
