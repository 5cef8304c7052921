//! Trees beside a sorted list that cannot be wrong.

use super::cost::Cost;
use super::free::Free;
use super::page::{ENTRIES_MAX, Entry};
use super::shape::is_alike;
use super::tree::{NONE, Tree};
use crate::cluster::Entropy;
use std::collections::{BTreeMap, VecDeque};

/// Enough for pages above pages above pages in the first group.
const SLOTS: u32 = 1_500;
const GROUPS: u32 = 3;

/// What is in the trees: key, then slot and what it has, by group.
type Model = BTreeMap<(u32, u64), (u32, Free)>;

fn free(entropy: &mut Entropy) -> Free {
    let times = (entropy.next_number() % 9).cast_signed();
    let odd = i64::from(entropy.next_number().is_multiple_of(8));
    Free { cpus: times * 1_000, mem: times * 4_000 + odd, disk: times, gpus: times as u32 % 2, ports: 9, tasks: 9 }
}

/// The rules of a page: keys rise, maxima are those of what is below, and nobody is called alike who is not.
fn check(tree: &Tree, at: u32, least: u64, nodes: &mut Vec<(u64, u32, Free)>) -> (Free, bool) {
    let page = tree.page(at);
    assert!(page.len() > 0 && page.len() <= ENTRIES_MAX);
    assert!(page.keys().is_sorted_by(|one, next| one < next) && page.key(0) >= least);
    let (mut most, mut shape, mut is_alike_all) = (Free::NOTHING, None, true);
    for index in 0..page.len() {
        let Entry { key, at, most: said, alike } = page.entry(index);
        let (below, below_alike) = if page.is_leaf {
            nodes.push((key, at, said));
            (said, true)
        } else {
            check(tree, at, key, nodes)
        };
        assert_eq!(said, below);
        assert!(!alike || below_alike);
        let first = *shape.get_or_insert(below.shape());
        is_alike_all &= below_alike && is_alike(first, below.shape());
        most = most.max(&below);
    }
    (most, is_alike_all)
}

fn compare(tree: &Tree, model: &Model) {
    for group in 0..GROUPS {
        let mut nodes = Vec::new();
        if tree.root(group) != NONE {
            check(tree, tree.root(group), 0, &mut nodes);
        }
        let expected: Vec<_> =
            model.range((group, 0)..=(group, u64::MAX)).map(|((_, key), (slot, own))| (*key, *slot, *own)).collect();
        assert_eq!(nodes, expected);
    }
}

/// The first nodes that fit, from a key on, by the trees and by the list.
fn search(tree: &Tree, model: &Model, entropy: &mut Entropy) {
    let (group, from, limit) =
        (entropy.next_number() as u32 % GROUPS, entropy.next_number() % 50_000, entropy.next_number() as usize % 20 + 1);
    let need = free(entropy);
    let (mut found, mut cost) = (VecDeque::new(), Cost::default());
    let accepts = |slot: u32| !slot.is_multiple_of(7);
    tree.first(tree.root(group), from, &need, limit, &mut found, &mut cost, &mut |slot| accepts(slot));
    let behind = model.range((group, from)..=(group, u64::MAX)).map(|(_, node)| *node);
    let expected: VecDeque<u32> =
        behind.filter(|(slot, own)| own.covers(&need) && accepts(*slot)).map(|(slot, _)| slot).take(limit).collect();
    assert_eq!(found, expected, "from {from} in {group}");
}

#[test]
fn trees_hold_what_a_sorted_list_holds() {
    for seed in 0..8 {
        let (mut entropy, mut cost) = (Entropy::new(seed), Cost::default());
        let (mut model, mut places) = (Model::new(), BTreeMap::new());
        let mut tree = Tree::default();
        for step in 0..9_000_u64 {
            // It grows, shrinks to little, and grows again.
            let leaves = if (step / 3_000).is_multiple_of(2) { 9 } else { 1 };
            let slot = entropy.next_number() as u32 % SLOTS;
            let own = free(&mut entropy);
            let key = entropy.next_number() % 4 * 10_000 + u64::from(slot);
            let group = if entropy.next_number().is_multiple_of(leaves) { NONE } else { entropy.next_number() as u32 % GROUPS };
            tree.set(slot, group, key, own, &mut cost);
            if let Some(place) = places.remove(&slot) {
                model.remove(&place);
            }
            if group != NONE {
                places.insert(slot, (group, key));
                model.insert((group, key), (slot, own));
            }
            if step % 150 == 0 {
                compare(&tree, &model);
            }
            search(&tree, &model, &mut entropy);
        }
        let nodes = model.iter().map(|((group, key), (slot, _))| (*group, *slot, *key)).collect();
        let owns: BTreeMap<u32, Free> = model.values().copied().collect();
        let again = Tree::of(nodes, SLOTS as usize, |slot| owns[&slot], &mut cost);
        compare(&again, &model);
        search(&again, &model, &mut entropy);
    }
}

#[test]
fn pages_that_empty_are_used_again() {
    let (mut tree, mut cost) = (Tree::default(), Cost::default());
    for round in 0..50 {
        for slot in 0..SLOTS {
            tree.set(slot, 0, u64::from(slot.wrapping_mul(7_919) % SLOTS) + round, Free::NOTHING, &mut cost);
        }
        check(&tree, tree.root(0), 0, &mut Vec::new());
        (0..SLOTS).rev().for_each(|slot| tree.set(slot, NONE, 0, Free::NOTHING, &mut cost));
        assert_eq!(tree.root(0), NONE);
    }
    assert!(tree.pages() <= SLOTS as usize / 4, "{} pages", tree.pages());
}
