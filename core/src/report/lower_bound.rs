//! The fewest nodes that could do.

use super::{Columns, Sums};
use std::cmp::Reverse;

/// A lower bound of the number of nodes for tasks that take `taken` in all: for each resource, the
/// fewest nodes, largest first, that have as much of it together; of these numbers the largest. No
/// placement can do with less, and often none can do with as little. All nodes when they are too few.
/// With it the column that decided.
pub fn fewest_nodes(capacities: &[Columns], taken: Sums) -> (usize, usize) {
    let of_column = |column: usize| {
        let mut sizes: Vec<i64> = capacities.iter().map(|capacity| capacity[column].max(0)).collect();
        sizes.sort_unstable_by_key(|size| Reverse(*size));
        let mut sum = 0;
        let mut nodes = 0;
        for size in sizes {
            if sum >= taken[column] {
                break;
            }
            sum += i128::from(size);
            nodes += 1;
        }
        nodes
    };
    let numbers = (0..4).map(|column| (of_column(column), column));
    numbers.fold((0, 0), |most, next| if next.0 > most.0 { next } else { most })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scarcest_resource_decides() {
        let nodes = [[4, 10, 0, 0], [8, 10, 0, 2], [4, 10, 0, 0]];
        for (taken, fewest) in [
            ([0, 0, 0, 0], 0),
            ([8, 10, 0, 0], 1),
            ([9, 10, 0, 0], 2),
            ([8, 11, 0, 0], 2),
            ([1, 21, 0, 0], 3),
            ([1, 1, 0, 2], 1),
            ([999, 1, 0, 0], 3),
            ([1, 1, 1, 1], 3),
        ] {
            assert_eq!(fewest_nodes(&nodes, taken).0, fewest, "{taken:?}");
        }
        assert_eq!(fewest_nodes(&[], [1, 1, 1, 1]), (0, 0));
        assert_eq!(fewest_nodes(&nodes, [8, 11, 0, 0]), (2, 1));
    }
}
