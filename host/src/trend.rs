//! A straight line through samples that a few odd ones do not turn (Theil and Sen: the median of the slopes of all pairs).

/// The slope of a line through `points`, so that less than a quarter of odd points cannot turn it. `None` where all points lie above one
/// another, or there are none.
pub fn steady_slope(points: &[(f64, f64)]) -> Option<f64> {
    let mut slopes = Vec::with_capacity(points.len() * points.len() / 2);
    for (index, one) in points.iter().enumerate() {
        slopes.extend(
            points[..index].iter().filter(|other| other.0.total_cmp(&one.0).is_ne()).map(|other| (one.1 - other.1) / (one.0 - other.0)),
        );
    }
    median(&mut slopes)
}

/// The same, and the line's height at 0.
pub fn steady_line(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    let slope = steady_slope(points)?;
    let mut heights: Vec<f64> = points.iter().map(|(x, y)| y - slope * x).collect();
    Some((slope, median(&mut heights)?))
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}
