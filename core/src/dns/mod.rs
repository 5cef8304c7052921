//! Names of running tasks (platform.md 3.1).
