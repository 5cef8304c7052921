//! orrery-bench
fn main() {}
