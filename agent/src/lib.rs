//! orrery-agent
