"""What runs inside a tool's environment: files of ours go in, the tool's verdict comes out. Nothing of Meshwright is imported here."""
