//! One plot over time: as SVG for a page, and as PNG for mail clients, which show no SVG.

use jiff::SignedDuration;
use jiff::civil::Date;
use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Circle, Rectangle, Text};
use plotters::prelude::DrawingBackend;
use plotters::series::LineSeries;
use plotters::style::{Color, FontFamily, RGBColor, ShapeStyle, TextStyle, WHITE};
use plotters_svg::SVGBackend;

use super::canvas::Canvas;
use crate::config::format_size;

/// Width and height in the page's pixels: small enough that the letters can still be read on a telephone.
const SIZE: (u32, u32) = (420, 200);
/// Pixels of a picture for each of the page's: screens of today have two.
const PICTURE_SCALE: u32 = 2;
/// Series that are drawn; colours that can be told apart also by who sees no red.
const COLORS: [RGBColor; 6] = [
    RGBColor(0x1f, 0x6f, 0xb4),
    RGBColor(0xd9, 0x6c, 0x00),
    RGBColor(0x2b, 0x8a, 0x5b),
    RGBColor(0x9c, 0x4d, 0xa8),
    RGBColor(0x5b, 0x66, 0x73),
    RGBColor(0xb3, 0x26, 0x1e),
];
const TEXT: RGBColor = RGBColor(0x3b, 0x45, 0x50);
const GRID: RGBColor = RGBColor(0xe1, 0xe6, 0xea);
/// Points above which none gets a dot of its own.
const DOTS_MAX: usize = 62;

/// What the values of a plot are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes.
    Bytes,
    /// Bytes a second.
    Rate,
    /// Seconds.
    Seconds,
    /// Shares, 0 to 1.
    Share,
}

/// The nearest whole number; 0 for what is below it.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` takes the nearest number that there is, and 0 for none")]
pub fn whole(value: f64) -> u64 {
    value.max(0.0).round() as u64
}

impl Unit {
    fn text(self, value: f64) -> String {
        let whole = whole(value);
        match self {
            Self::Bytes => format_size(whole),
            Self::Rate => format!("{}/s", format_size(whole)),
            Self::Seconds if whole >= 3_600 => format!("{}h{:02}", whole / 3_600, whole / 60 % 60),
            Self::Seconds if whole >= 60 => format!("{} min", whole / 60),
            Self::Seconds => format!("{whole} s"),
            Self::Share => format!("{:.0} %", value * 100.0),
        }
    }
}

/// One line of a plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Values by day, oldest first.
    pub points: Vec<(Date, f64)>,
}

/// A plot.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// What the values are.
    pub unit: Unit,
    /// The lines; of many the first six.
    pub series: Vec<Series>,
}

impl Plot {
    /// Whether there is a line to draw: one day alone makes none.
    pub fn is_worth_it(&self) -> bool {
        self.series.iter().any(|series| series.points.len() > 1)
    }

    /// As SVG, a file of its own. Names of series are escaped.
    ///
    /// # Errors
    /// When it cannot be drawn.
    pub fn svg(&self) -> Result<String, String> {
        let mut text = String::new();
        self.draw(SVGBackend::with_string(&mut text, SIZE).into_drawing_area(), 1)?;
        Ok(text)
    }

    /// As PNG, at twice the pixels.
    ///
    /// # Errors
    /// When it cannot be drawn.
    pub fn png(&self) -> Result<Vec<u8>, String> {
        let mut canvas = Canvas::new((SIZE.0 * PICTURE_SCALE, SIZE.1 * PICTURE_SCALE));
        self.draw((&mut canvas).into_drawing_area(), PICTURE_SCALE)?;
        canvas.png().map_err(|error| error.to_string())
    }

    fn draw<B: DrawingBackend>(&self, area: DrawingArea<B, Shift>, scale: u32) -> Result<(), String> {
        self.draw_on(&area, scale).and_then(|()| area.present().map_err(told))
    }

    fn draw_on<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, scale: u32) -> Result<(), String> {
        area.fill(&WHITE).map_err(told)?;
        let series = &self.series[..self.series.len().min(COLORS.len())];
        let ((first, last), top) = extent(series);
        let pixels = |page: u32| page * scale;
        let mut chart = ChartBuilder::on(area)
            .margin(pixels(10))
            .margin_top(pixels(if series.len() > 1 { 28 } else { 10 }))
            .margin_right(pixels(16))
            .x_label_area_size(pixels(24))
            .y_label_area_size(pixels(74))
            .build_cartesian_2d(first..last, 0.0..top)
            .map_err(told)?;
        let year = |day: f64| date(day).strftime(if last - first > 300.0 { "%m/%Y" } else { "%d/%m" }).to_string();
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(WHITE)
            .bold_line_style(GRID)
            .axis_style(GRID)
            .x_labels(6)
            .y_labels(5)
            .x_label_formatter(&|day| year(*day))
            .y_label_formatter(&|value| self.unit.text(*value))
            .label_style(font(scale))
            .draw()
            .map_err(told)?;
        for (series, color) in series.iter().zip(COLORS) {
            let points: Vec<(f64, f64)> = series.points.iter().map(|(day, value)| (number(*day), *value)).collect();
            chart.draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(pixels(2)))).map_err(told)?;
            if points.len() <= DOTS_MAX {
                let dot = |point| Circle::new(point, pixels(2), ShapeStyle::from(color).filled());
                chart.draw_series(points.into_iter().map(dot)).map_err(told)?;
            }
        }
        if series.len() > 1 { legend(area, series, scale) } else { Ok(()) }
    }
}

/// Names of the series, above the plot.
fn legend<B: DrawingBackend>(area: &DrawingArea<B, Shift>, series: &[Series], scale: u32) -> Result<(), String> {
    let mut x = 84 * scale.cast_signed();
    let width = 320 * scale.cast_signed() / i32::try_from(series.len()).unwrap_or(1);
    let most = usize::try_from(width / scale.cast_signed() / 7).unwrap_or(0).saturating_sub(4).max(3);
    for (series, color) in series.iter().zip(COLORS) {
        let (top, size) = (9 * scale.cast_signed(), 10 * scale.cast_signed());
        area.draw(&Rectangle::new([(x, top), (x + size, top + size)], ShapeStyle::from(color).filled())).map_err(told)?;
        let name: String = match series.name.char_indices().nth(most) {
            None => series.name.clone(),
            Some((end, _)) => format!("{}..", &series.name[..end]),
        };
        area.draw(&Text::new(name, (x + size + 5 * scale.cast_signed(), top - scale.cast_signed()), font(scale))).map_err(told)?;
        x += width;
    }
    Ok(())
}

fn font(scale: u32) -> TextStyle<'static> {
    TextStyle::from((FontFamily::SansSerif, 12 * scale)).color(&TEXT)
}

/// First and last day, and a height that nothing reaches; never empty.
fn extent(series: &[Series]) -> ((f64, f64), f64) {
    let points = || series.iter().flat_map(|series| &series.points);
    let days = || points().map(|(day, _)| number(*day));
    let (first, last) = (days().fold(f64::INFINITY, f64::min), days().fold(f64::NEG_INFINITY, f64::max));
    let top = points().map(|(_, value)| *value).filter(|value| value.is_finite()).fold(0.0, f64::max) * 1.1;
    let days = if first < last {
        (first, last)
    } else if first.is_finite() {
        (first - 1.0, first + 1.0)
    } else {
        (0.0, 1.0)
    };
    (days, if top > 0.0 { top } else { 1.0 })
}

/// Days since the epoch.
fn number(day: Date) -> f64 {
    day.duration_since(Date::constant(1970, 1, 1)).as_hours() as f64 / 24.0
}

fn date(number: f64) -> Date {
    let days = SignedDuration::from_hours(i64::try_from(whole(number)).unwrap_or(0).saturating_mul(24));
    Date::constant(1970, 1, 1).checked_add(days).unwrap_or(Date::MIN)
}

fn told(error: impl std::fmt::Display) -> String {
    format!("a plot cannot be drawn: {error}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plot(unit: Unit, names: &[&str], days: u16) -> Plot {
        let day = |index: u16| Date::constant(2026, 1, 1).checked_add(SignedDuration::from_hours(24 * i64::from(index))).expect("a day");
        let series = |(nth, name): (usize, &&str)| Series {
            name: (*name).to_owned(),
            points: (0..days)
                .map(|index| (day(index), (nth + 1) as f64 * (2e9 + 3e6 * f64::from(index) + 5e7 * f64::from(index % 7))))
                .collect(),
        };
        Plot { unit, series: names.iter().enumerate().map(series).collect() }
    }

    #[test]
    fn a_plot_is_an_svg_and_a_png() {
        let plot = plot(Unit::Bytes, &["Total", "Comprimido"], 31);
        let svg = plot.svg().expect("drawn");
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>") && svg.contains("Comprimido") && svg.contains("GiB"));
        let file = plot.png().expect("drawn");
        let mut reader = png::Decoder::new(std::io::Cursor::new(&file)).read_info().expect("a PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
        reader.next_frame(&mut pixels).expect("pixels");
        for color in [COLORS[0], COLORS[1], TEXT] {
            assert!(pixels.chunks(3).any(|pixel| pixel == [color.0, color.1, color.2]), "{color:?} is not drawn");
        }
        assert!(file.len() < 60_000, "{}", file.len());
    }

    #[test]
    fn a_year_of_days_stays_small() {
        let svg = plot(Unit::Rate, &["a", "b", "c", "d", "e", "f", "g"], 366).svg().expect("drawn");
        assert!(svg.len() < 100_000, "{}", svg.len());
    }

    #[test]
    fn one_day_makes_no_line() {
        assert!(!plot(Unit::Bytes, &["a"], 1).is_worth_it() && plot(Unit::Bytes, &["a"], 2).is_worth_it());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn whatever_the_values_it_is_drawn_and_names_are_no_markup(
            name in "(?s).{0,20}|[<>&\"'a-z/]{0,20}",
            values in prop::collection::vec((0_i32..20_000, prop_oneof![Just(0.0), 0.0..1e18_f64]), 0..40),
        ) {
            let mut points: Vec<(Date, f64)> = values.iter().map(|(day, value)| (date(f64::from(*day)), *value)).collect();
            points.sort_by_key(|(day, _)| *day);
            let named = |name: &str| Plot {
                unit: Unit::Seconds,
                series: vec![Series { name: name.to_owned(), points: points.clone() }, Series { name: name.to_owned(), points: Vec::new() }],
            };
            let svg = named(&name).svg().expect("drawn");
            prop_assert_eq!(svg.matches('<').count(), named("x").svg().expect("drawn").matches('<').count());
        }
    }
}
