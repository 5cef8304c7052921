//! orrery-controller
