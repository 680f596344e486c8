//! A schedule in words, where it is one that people have words for.

use super::Locale;

const DAYS: [(&str, &str, &str); 7] = [
    ("SUN", "aos domingos", "on Sundays"),
    ("MON", "às segundas-feiras", "on Mondays"),
    ("TUE", "às terças-feiras", "on Tuesdays"),
    ("WED", "às quartas-feiras", "on Wednesdays"),
    ("THU", "às quintas-feiras", "on Thursdays"),
    ("FRI", "às sextas-feiras", "on Fridays"),
    ("SAT", "aos sábados", "on Saturdays"),
];

/// `0 2 * * *` as "every day at 02:00"; what has no simple words is given back as it is.
pub fn schedule_in_words(schedule: &str, locale: Locale) -> String {
    let fields: Vec<&str> = match schedule {
        "@hourly" => "0 * * * *",
        "@daily" => "0 0 * * *",
        "@weekly" => "0 0 * * SUN",
        "@monthly" => "0 0 1 * *",
        other => other,
    }
    .split_whitespace()
    .collect();
    words(&fields, locale).unwrap_or_else(|| schedule.to_owned())
}

fn words(fields: &[&str], locale: Locale) -> Option<String> {
    let &[minute, hour, day, "*", weekday] = fields else { return None };
    let minute: u8 = minute.parse().ok()?;
    if (hour, day, weekday) == ("*", "*", "*") {
        return Some(format!("{} {minute:02}", locale.pick("a cada hora, no minuto", "every hour at minute")));
    }
    let hour: u8 = hour.parse().ok()?;
    let days = match (day, weekday) {
        ("*", "*") => locale.pick("todos os dias", "every day").to_owned(),
        ("*", weekday) => {
            let (_, portuguese, english) = DAYS.iter().enumerate().find_map(|(number, day)| {
                let is_it = day.0.eq_ignore_ascii_case(weekday) || weekday.parse::<usize>().is_ok_and(|given| given % 7 == number);
                is_it.then_some(day)
            })?;
            locale.pick(portuguese, english).to_owned()
        }
        (day, "*") => {
            let day: u8 = day.parse().ok()?;
            match locale {
                Locale::PtBr => format!("todo dia {day} do mês"),
                Locale::En => format!("on day {day} of each month"),
            }
        }
        _ => return None,
    };
    Some(format!("{days} {} {hour:02}:{minute:02}", locale.pick("às", "at")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_have_words_for_is_told_in_them() {
        for (schedule, portuguese, english) in [
            ("0 2 * * *", "todos os dias às 02:00", "every day at 02:00"),
            ("30 4 * * sun", "aos domingos às 04:30", "on Sundays at 04:30"),
            ("0 4 * * 7", "aos domingos às 04:00", "on Sundays at 04:00"),
            ("0 6 1 * *", "todo dia 1 do mês às 06:00", "on day 1 of each month at 06:00"),
            ("@hourly", "a cada hora, no minuto 00", "every hour at minute 00"),
            ("0 9-17 * * MON-FRI", "0 9-17 * * MON-FRI", "0 9-17 * * MON-FRI"),
            ("0 2 1 1 *", "0 2 1 1 *", "0 2 1 1 *"),
        ] {
            assert_eq!(schedule_in_words(schedule, Locale::PtBr), portuguese);
            assert_eq!(schedule_in_words(schedule, Locale::En), english);
        }
    }
}
