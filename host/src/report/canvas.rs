//! A surface of pixels that plots are drawn on for mail clients, which show no SVG. Its letters are of a bitmap font that is compiled in:
//! a server has no fonts.

use std::convert::Infallible;

use embedded_graphics::Drawable;
use embedded_graphics::Pixel;
use embedded_graphics::draw_target::DrawTarget;
use embedded_graphics::geometry::{OriginDimensions, Point, Size};
use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::iso_8859_1::FONT_10X20;
use embedded_graphics::pixelcolor::BinaryColor;
use embedded_graphics::text::{Alignment, Baseline, Text, TextStyleBuilder};
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{BackendColor, BackendCoord, BackendTextStyle, DrawingBackend, DrawingErrorKind};

use super::whole;

/// Bytes of a pixel: red, green, blue.
const PIXEL: usize = 3;

/// The surface.
pub(super) struct Canvas {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
}

impl Canvas {
    /// A white one.
    pub(super) fn new((width, height): (u32, u32)) -> Self {
        Self { width, height, pixels: vec![0xff; width as usize * height as usize * PIXEL] }
    }

    /// As a PNG file.
    pub(super) fn png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.pixels)?;
        writer.finish()?;
        Ok(file)
    }

    /// Lays a colour over a pixel; one that is not on the surface is not drawn.
    fn blend(&mut self, (x, y): BackendCoord, color: BackendColor) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { return };
        if x >= self.width || y >= self.height {
            return;
        }
        let at = (y as usize * self.width as usize + x as usize) * PIXEL;
        let (red, green, blue) = color.rgb;
        let alpha = whole(color.alpha * 255.0).min(255);
        for (below, above) in self.pixels[at..at + PIXEL].iter_mut().zip([red, green, blue]) {
            let mixed = (u64::from(*below) * (255 - alpha) + u64::from(above) * alpha) / 255;
            *below = u8::try_from(mixed).expect("a mean of two bytes is a byte");
        }
    }
}

impl DrawingBackend for &mut Canvas {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    fn ensure_prepared(&mut self) -> Result<(), DrawingErrorKind<Infallible>> {
        Ok(())
    }

    fn present(&mut self) -> Result<(), DrawingErrorKind<Infallible>> {
        Ok(())
    }

    fn draw_pixel(&mut self, point: BackendCoord, color: BackendColor) -> Result<(), DrawingErrorKind<Infallible>> {
        self.blend(point, color);
        Ok(())
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, at: BackendCoord) -> Result<(), DrawingErrorKind<Infallible>> {
        let anchor = style.anchor();
        let alignment = match anchor.h_pos {
            HPos::Left => Alignment::Left,
            HPos::Right => Alignment::Right,
            HPos::Center => Alignment::Center,
        };
        let baseline = match anchor.v_pos {
            VPos::Top => Baseline::Top,
            VPos::Center => Baseline::Middle,
            VPos::Bottom => Baseline::Bottom,
        };
        let layout = TextStyleBuilder::new().alignment(alignment).baseline(baseline).build();
        let letters = MonoTextStyle::new(&FONT_10X20, BinaryColor::On);
        let mut ink = Ink { canvas: self, color: style.color() };
        let Ok(_) = Text::with_text_style(text, Point::new(at.0, at.1), letters, layout).draw(&mut ink);
        Ok(())
    }

    fn estimate_text_size<S: BackendTextStyle>(&self, text: &str, _: &S) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let letter = FONT_10X20.character_size;
        Ok((letter.width * u32::try_from(text.chars().count()).unwrap_or(u32::MAX), letter.height))
    }
}

/// Letters in one colour.
struct Ink<'a> {
    canvas: &'a mut Canvas,
    color: BackendColor,
}

impl OriginDimensions for Ink<'_> {
    fn size(&self) -> Size {
        Size::new(self.canvas.width, self.canvas.height)
    }
}

impl DrawTarget for Ink<'_> {
    type Color = BinaryColor;
    type Error = Infallible;

    fn draw_iter<I: IntoIterator<Item = Pixel<BinaryColor>>>(&mut self, pixels: I) -> Result<(), Infallible> {
        for Pixel(point, color) in pixels {
            if color.is_on() {
                self.canvas.blend((point.x, point.y), self.color);
            }
        }
        Ok(())
    }
}
