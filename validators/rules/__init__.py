"""One rule, one file: `<code>_<pattern found>.py`. Discovered by `validators.registry`, listed nowhere."""
