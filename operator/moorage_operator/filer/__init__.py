"""The worker of a filer: mounts the export of one StorageBackend, makes and removes volumes' folders, and ends."""
