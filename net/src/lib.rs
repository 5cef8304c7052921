//! orrery-net
