//! orrery
fn main() {}
