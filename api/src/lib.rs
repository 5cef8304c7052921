//! orrery-api
