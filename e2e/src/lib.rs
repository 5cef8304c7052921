//! orrery-e2e
