//! How evenly the load lies.

/// Dominant shares of open nodes, in thousandths.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Balance {
    /// Their mean.
    pub mean: i64,
    /// Their standard deviation: 0 when all nodes are equally full.
    pub deviation: i64,
    /// The emptiest node.
    pub least: i64,
    /// The node in the middle.
    pub median: i64,
    /// The fullest node.
    pub most: i64,
}

impl Balance {
    /// Of these shares; zeros when there are none.
    pub fn of(mut shares: Vec<i64>) -> Self {
        shares.sort_unstable();
        let (Some(least), Some(most)) = (shares.first().copied(), shares.last().copied()) else { return Self::default() };
        let count = shares.len() as f64;
        let mean = shares.iter().map(|share| *share as f64).sum::<f64>() / count;
        let variance = shares.iter().map(|share| (*share as f64 - mean).powi(2)).sum::<f64>() / count;
        Self {
            mean: mean.round() as i64,
            deviation: variance.sqrt().round() as i64,
            least,
            median: shares[shares.len() / 2],
            most,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_nodes_are_balanced() {
        assert_eq!(Balance::of(Vec::new()), Balance::default());
        let even = Balance::of(vec![400; 7]);
        assert_eq!((even.mean, even.deviation, even.least, even.most), (400, 0, 400, 400));
        let uneven = Balance::of(vec![1000, 0, 1000, 0]);
        assert_eq!((uneven.mean, uneven.deviation, uneven.least, uneven.median, uneven.most), (500, 500, 0, 1000, 1000));
    }
}
