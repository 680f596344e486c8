//! How fast bodies may go to a destination and come from it, by the hour of the day.

use jiff::civil::Time;
use jiff::tz::TimeZone;

/// Limits of one destination; none where it is empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bandwidth {
    /// All of them; where several hold, the lowest counts.
    pub limits: Vec<BandwidthLimit>,
    /// Whose hours they are; that of the machine where it is absent.
    pub zone: Option<TimeZone>,
}

/// One limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BandwidthLimit {
    /// Bytes a second, at least 1.
    pub rate: u64,
    /// From when to when, the end not included; over midnight where it ends before it begins. `None` is always.
    pub between: Option<(Time, Time)>,
}

impl BandwidthLimit {
    fn holds(&self, time: Time) -> bool {
        match self.between {
            None => true,
            Some((from, to)) if from < to => from <= time && time < to,
            Some((from, to)) => from <= time || time < to,
        }
    }
}

impl Bandwidth {
    /// Bytes a second at an hour; `None` is as many as there can be.
    pub fn at(&self, time: Time) -> Option<u64> {
        self.limits.iter().filter(|limit| limit.holds(time)).map(|limit| limit.rate).min()
    }

    /// The same for now.
    pub fn now(&self) -> Option<u64> {
        if self.limits.is_empty() {
            return None;
        }
        let zone = self.zone.clone().unwrap_or_else(TimeZone::system);
        self.at(jiff::Timestamp::now().to_zoned_datetime(zone).time())
    }

    /// The lowest at any hour.
    pub fn lowest(&self) -> Option<u64> {
        self.limits.iter().map(|limit| limit.rate).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(rate: u64, between: Option<(i8, i8)>) -> BandwidthLimit {
        let hour = |hour| Time::new(hour, 0, 0, 0).expect("an hour");
        BandwidthLimit { rate, between: between.map(|(from, to)| (hour(from), hour(to))) }
    }

    #[test]
    fn the_hour_decides() {
        let bandwidth = Bandwidth { limits: vec![limit(2, Some((8, 18))), limit(5, Some((17, 23))), limit(9, Some((22, 6)))], zone: None };
        let at = |hour| bandwidth.at(Time::new(hour, 0, 0, 0).expect("an hour"));
        let all = [7, 8, 17, 18, 22, 23, 0, 5, 6].map(at);
        assert_eq!(all, [None, Some(2), Some(2), Some(5), Some(5), Some(9), Some(9), Some(9), None]);
        assert_eq!(bandwidth.lowest(), Some(2));
        let always = Bandwidth { limits: vec![limit(7, None)], zone: None };
        assert_eq!((always.now(), Bandwidth::default().now()), (Some(7), None));
    }
}
