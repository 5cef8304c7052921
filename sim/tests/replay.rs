//! A seed replays exactly.

use orrery_sim::{Plan, simulate};

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in 1..=12 {
        let [first, second] = [(); 2].map(|()| simulate(Plan::of(seed), true));
        let parting = first.lines.iter().zip(&second.lines).find(|(one, other)| one != other);
        assert_eq!(first.hash, second.hash, "seed {seed} parts at {parting:#?}");
        assert!(first.events > 50, "seed {seed} is empty: {} events", first.events);
    }
}
