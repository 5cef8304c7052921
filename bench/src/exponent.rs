//! How work grows with size.

/// The slope of the work over the size, both as logarithms: least squares.
pub(crate) fn exponent(sizes: &[u32], work: impl Iterator<Item = f64>) -> f64 {
    let points: Vec<(f64, f64)> =
        sizes.iter().zip(work).map(|(size, work)| (f64::from(*size).ln(), work.max(f64::MIN_POSITIVE).ln())).collect();
    let count = points.len() as f64;
    let (mean_x, mean_y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
    let covariance: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    covariance / variance
}
